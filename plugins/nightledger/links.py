"""Buttons on the tasks of a nightly DAG, into the pages about its run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, XComArg
    from airflow.sdk.types import TaskInstanceKey


class PageLink(BaseOperatorLink):
    """A page about the DAG run that a task belongs to; Airflow asks for it when the task has ended."""

    name: ClassVar[str] = ""
    shows: ClassVar[str] = ""

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address of the way from a DAG run to its page; the page itself may not be there yet."""
        from urllib.parse import quote

        from airflow.sdk.configuration import conf

        home = str(conf.get("api", "base_url", fallback="")).rstrip("/")
        run = f"{quote(ti_key.dag_id, safe='')}/{quote(ti_key.run_id, safe='')}"
        return f"{home}/nightledger/of/{run}" + (f"?show={self.shows}" if self.shows else "")


class RunLink(PageLink):
    """What the run has done so far."""

    name: ClassVar[str] = "Run"


class ReportLink(PageLink):
    """The morning report."""

    name: ClassVar[str] = "Morning report"
    shows: ClassVar[str] = "report"


class QualityLink(PageLink):
    """The data-quality report."""

    name: ClassVar[str] = "Data quality"
    shows: ClassVar[str] = "quality"


class QuarantineLink(PageLink):
    """The rows of the run that were set aside."""

    name: ClassVar[str] = "Quarantine"
    shows: ClassVar[str] = "quarantine"


class EvaluationsLink(PageLink):
    """The evaluations of the use case that a DAG run is about."""

    name: ClassVar[str] = "Evaluations"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address of the page, which asks Airflow what the DAG run was started with."""
        from urllib.parse import quote

        from airflow.sdk.configuration import conf

        home = str(conf.get("api", "base_url", fallback="")).rstrip("/")
        return f"{home}/nightledger/evaluations?of={quote(ti_key.run_id, safe='')}"


def linked(task: XComArg, *links: PageLink) -> XComArg:
    """A task of `@task` with buttons; its operator's class is Airflow's, so they are given to the operator."""
    made: Any = task
    made.operator.operator_extra_links = (RunLink(), *links)
    return task
