"""What nightly DAGs share: the schedule, the defaults of their tasks, and the trigger form."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import CronDataIntervalTimetable, Param

if TYPE_CHECKING:
    from include.spec.use_case import UseCase

NIGHTLY = CronDataIntervalTimetable("0 2 * * *", timezone="UTC")
"""02:00 UTC with a data interval of the 24 hours before; a bare cron string would give an empty one."""

ANY = {"null": "any"}
"""`values_display` of a choice that may be left open: Airflow's form would show the word `null`."""


def defaults(case: UseCase) -> dict[str, Any]:
    """Arguments for every task of a use case's DAG."""
    return {
        "owner": case.owner,
        "retries": 3,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=10),
        "execution_timeout": timedelta(hours=4),
    }


def form(case: UseCase) -> dict[str, Param]:
    """The trigger form of a use case's DAG."""
    return {
        "night": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Night",
            description="The day on which its 24 hours begin, at 02:00 UTC. Empty: the run's own night; for a trigger "
            "by hand, the last complete one.",
        ),
        "mode": Param(
            None,
            type=["null", "string"],
            enum=[None, "shadow", "gated", "auto"],
            values_display={"null": f"as rolled out ({case.mode.value} until somebody sets another)"},
            title="Mode",
            description="shadow: record only. gated: every row waits for a person. auto: write what is certain enough. "
            "Never further than the use case is rolled out, once people have set that.",
        ),
        "limit": Param(
            None, type=["null", "integer"], minimum=1, title="Rows", description="At most so many; empty: all."
        ),
        "re_infer": Param(
            "none",
            enum=["none", "failed", "all"],
            section="Run again",
            title="Ask again",
            values_display={"none": "nothing, reuse what was paid", "failed": "what failed", "all": "every row"},
            description="What failed: fallbacks and dead letters. Every row: all are paid again.",
        ),
        "model": Param(
            None,
            type=["null", "string"],
            section="Model",
            title="Model",
            description="Empty: the one pinned in the spec.",
        ),
        "re_extract": Param(
            False,
            type="boolean",
            section="Run again",
            title="Extract again",
            description="A finished date is re-run on the rows it was run on; set this to read the sources anew.",
        ),
        "asking": Param(
            None,
            type=["null", "string"],
            enum=[None, "live", "batch"],
            section="Model",
            title="Asking",
            values_display={
                "null": "as declared in the spec",
                "live": "live, call by call",
                "batch": "batch, half the price, up to 24 hours",
            },
            description="Batch: through the provider's batch API.",
        ),
        "backfill": Param(
            None,
            type=["null", "string"],
            section="Backfill",
            title="Backfill",
            description="A name for nights that belong together and share one budget, e.g. `november`.",
        ),
        "backfill_budget_usd": Param(
            None,
            type=["null", "number"],
            exclusiveMinimum=0,
            section="Backfill",
            title="Budget of the backfill",
            description="US dollars for all of its nights; empty: the one declared in the spec.",
        ),
    }
