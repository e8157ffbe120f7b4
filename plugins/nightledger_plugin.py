"""Registers Nightledger with Airflow. Airflow runs this file in every component, so it imports nothing heavy."""

from typing import ClassVar
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

from nightledger.ui.lazy import LazyApp

_HOME = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/") + "/nightledger"
_PAGES = {
    "nights": "Nights",
    "quality": "Data quality",
    "quarantine": "Quarantine",
    "dead-letters": "Dead letters",
    "explain": "Explain",
    "backfill": "Backfill",
    "systems": "Systems",
    "verify": "Ledger",
}
_TABS = {"dag": "nights?use_case={DAG_ID}", "dag_run": "of/{DAG_ID}/{RUN_ID}", "task_instance": "of/{DAG_ID}/{RUN_ID}"}


def _view(destination: str, name: str, path: str) -> dict[str, str]:
    route = f"nightledger-{path}" if destination == "nav" else f"nightledger-{destination}"
    view = {"name": name, "href": f"{_HOME}/{path}", "destination": destination, "url_route": route.lower()}
    return {**view, "category": "Nightledger"} if destination == "nav" else view


class NightledgerPlugin(AirflowPlugin):
    """The pages of the night: an app under `/nightledger`, entries in the side bar, tabs on DAGs, runs and tasks."""

    name = "nightledger"
    fastapi_apps: ClassVar = [{"name": "nightledger", "app": LazyApp(), "url_prefix": "/nightledger"}]
    external_views: ClassVar = [
        *(_view("nav", name, path) for path, name in _PAGES.items()),
        *(_view(destination, "Nightledger", path) for destination, path in _TABS.items()),
    ]
