"""The DAG of a use case, from its declarations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG
from pendulum import datetime

from nightledger.nightly import NIGHTLY, defaults, form
from nightledger.operators.enrich import EnrichOperator
from nightledger.steps import doc_of
from nightledger.tasks import check, close, extract, gate, plan, write

if TYPE_CHECKING:
    from include.spec.use_case import UseCase


def nightly_dag(
    case: UseCase, doc: str | None, *, dag_id: str = "", schedule: Any = NIGHTLY, tags: Sequence[str] = ()
) -> DAG:
    """The steps of a night, in order, with their trigger form, links and documentation.

    `doc` is what Airflow shows of the DAG, as Markdown. The DAG has the name of its use case unless `dag_id` gives
    another one. `schedule` has data intervals (`CronDataIntervalTimetable`), or is the asset of another use case
    (`[written_by(other)]`); a bare cron string would give empty intervals.
    """
    with DAG(
        dag_id=dag_id or case.name,
        schedule=schedule,
        start_date=datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        max_active_runs=1,
        default_args=defaults(case),
        params=form(case),
        tags=list(tags),
        doc_md=doc,
    ) as dag:
        good = check(case, extract(case))
        each = EnrichOperator.partial(
            task_id="enrich",
            use_case=case.name,
            pool="model",
            map_index_template="{{ task.shard }}",
            doc_md=doc_of("enrich"),
        )
        enriched = each.expand(rows=plan(case, good))
        written = write(case, gate(case, good, enriched.output))
        written >> close(case)
    return dag
