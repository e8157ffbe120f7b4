"""Airflow's api-server in this process, with its own login and permissions, and our pages in it."""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.engine import make_url
from starlette.routing import Mount

from include.settings import ROOT

MINE, OTHERS = "crm_lead_scoring", "churn_of_the_red_team"
USERS = {"admin": "admin", "ann": "user:blue", "vic": "viewer:blue", "rob": "user:red"}
ORIGIN = "http://testserver"


@dataclass
class Stand:
    """The running server: `pages` is our app alone, for its routes; requests go through Airflow's own."""

    server: FastAPI
    mounted: Any
    pages: FastAPI

    def renew(self) -> None:
        """Begin anew with the pages, as another process of the api-server would."""
        from nightledger.ui.app import create_app

        self.pages = self.mounted._app = create_app()

    def client(self, user: str | None = None) -> TestClient:
        """A browser in which that user is logged in by Airflow's session cookie; nobody without a name."""
        client = TestClient(self.server, base_url=ORIGIN, follow_redirects=False, raise_server_exceptions=False)
        if user:
            client.cookies.set("_token", self.token(user))
        return client

    def token(self, user: str) -> str:
        """What Airflow's login gives the user."""
        from airflow.api_fastapi.app import get_auth_manager

        manager: Any = get_auth_manager()
        return str(manager.generate_jwt(next(one for one in manager.get_users() if one.username == user)))


@contextmanager
def open_stand(folder: Path, dags: Mapping[str, str]) -> Iterator[Stand]:
    """A server with a metadata database of its own; `dags` are DAG ids with the teams that own them."""
    settings = {
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__PLUGINS_FOLDER": str(folder / "plugins"),
        "CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "CORE__MULTI_TEAM": "True",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db",
        "LOGGING__LOGGING_LEVEL": "ERROR",
        "API_AUTH__JWT_SECRET": "x" * 64,
        "API__SECRET_KEY": "a secret of this test",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "NIGHTLEDGER"))}
    airflow = {f"AIRFLOW__{name}": value for name, value in settings.items()}
    ours = {"AIRFLOW_HOME": str(folder), "NIGHTLEDGER_HOME": str(folder), "NIGHTLEDGER_TOKEN_SECRET": "test secret"}
    passwords = dict.fromkeys(USERS, secrets.token_urlsafe())
    (folder / "passwords.json").write_text(json.dumps(passwords), encoding="utf-8")
    root, before = logging.getLogger(), logging.getLogger().level
    with patch.dict(os.environ, {**kept, **airflow, **ours}, clear=True):
        try:
            yield _open(dags)
        finally:
            root.setLevel(before)  # Airflow set it for the process, and later tests wait for warnings


def _open(dags: Mapping[str, str]) -> Stand:
    from airflow import settings

    settings.configure_vars()
    settings.reconfigure_orm()
    _fill(dags)
    from airflow.api_fastapi.app import create_app as create_airflow
    from airflow.api_fastapi.app import purge_cached_app

    from nightledger.ui.app import create_app
    from nightledger.ui.lazy import LazyApp

    purge_cached_app()
    server, pages = create_airflow(apps="core"), create_app()
    mounted = LazyApp()
    mounted._app = pages
    server.router.routes.insert(0, Mount("/nightledger", app=mounted))
    return Stand(server, mounted, pages)


def connection_of(service_url: str) -> str:
    """Airflow's connection to a ledger, as JSON."""
    url = make_url(service_url)
    place = {"host": url.query["host"], "schema": url.database, "login": url.username}
    return json.dumps({"conn_type": "postgres", **place})


def _fill(dags: Mapping[str, str]) -> None:
    from airflow import settings
    from airflow.models import Base, import_all_models
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.team import Team

    import_all_models()
    Base.metadata.create_all(settings.engine)
    with settings.Session() as session:
        for team in sorted({"blue", "red", *dags.values()}):
            bundle = DagBundleModel(name=f"dags-of-{team}")
            bundle.teams.append(Team(name=team))
            session.add(bundle)
        session.flush()
        for dag_id, team in dags.items():
            limits = {
                "max_active_tasks": 16,
                "max_consecutive_failed_dag_runs": 0,
                "has_task_concurrency_limits": False,
            }
            session.add(DagModel(dag_id=dag_id, bundle_name=f"dags-of-{team}", is_paused=False, **limits))
        session.commit()
