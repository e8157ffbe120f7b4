"""How far running runs are: the step, what it has done of how much, how fast, and how long it may take."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from include.pages.reading import rows
from include.report.wording import duration, money, number

SILENT_SECONDS = 600
NEXT = {
    "run.opened": "extract",
    "run.reopened": "extract",
    "extract.completed": "check",
    "extract.reused": "check",
    "check.completed": "plan",
    "enrich.planned": "enrich",
    "enrich.completed": "enrich",
    "answers.completed": "gate",
    "gate.completed": "write",
    "write.completed": "close",
}
"""The step that works after each word on record; `enrich` may be many tasks, so the gate begins when it says so."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A run at work: `done` of `whole` rows in this step; seconds since its start and since its last sign of life.

    `calls_per_minute`, `cost` in US dollars and `seconds_left` are known while the model is asked.
    """

    step: str
    rows_in: int | None
    counts: Mapping[str, int]
    seconds: float
    silent: float
    done: int | None = None
    whole: int | None = None
    calls_per_minute: int | None = None
    cost: Decimal | None = None
    seconds_left: float | None = None

    @property
    def in_words(self) -> str:
        """One line for a person."""
        parts = []
        if self.whole is not None:
            parts.append(f"{number(self.done)} of {number(self.whole)} rows")
        if self.calls_per_minute is not None:
            parts.append(f"{number(self.calls_per_minute)} calls a minute")
        if self.cost is not None:
            parts.append(money(self.cost))
        if self.seconds_left is not None:
            parts.append(f"about {duration(self.seconds_left)} left")
        parts.append(f"running for {duration(self.seconds)}")
        if self.silent > SILENT_SECONDS:
            parts.append(f"nothing was heard of it for {duration(self.silent)}")
        return f"Step {self.step}: {', '.join(parts)}"


def read_progress(connection: Connection, run_ids: Collection[str]) -> dict[str, Progress]:
    """The progress of those of the runs that are running."""
    running = rows(connection, _RUNNING, runs=list(run_ids)) if run_ids else []
    ids = [row["run_id"] for row in running]
    counts: dict[str, dict[str, int]] = {}
    for row in rows(connection, _ENDED, runs=ids) if ids else []:
        counts.setdefault(row["run_id"], {})[row["outcome"]] = row["rows"]
    return {row["run_id"]: _progress(dict(row), counts.get(row["run_id"], {})) for row in running}


def _progress(row: Mapping[str, Any], counts: Mapping[str, int]) -> Progress:
    step = NEXT.get(row["said"], "extract")
    base = (step, row["rows_in"], counts, row["seconds"], row["silent"])
    parts = [facts for name, facts in row["progress"].items() if name.partition("/")[0] == "enrich"]
    if step != "enrich" or not parts:
        return Progress(*base)
    left = [float(part["seconds_left"]) for part in parts if part.get("seconds_left") is not None]
    return Progress(
        *base,
        done=sum(int(part.get("done", 0)) for part in parts),
        whole=row["asked"] or sum(int(part["rows"]) for part in parts),
        calls_per_minute=sum(int(part["calls_per_minute"]) for part in parts),
        cost=sum((Decimal(part["spent_usd"]) for part in parts), Decimal(0)),
        seconds_left=max(left) if left else None,
    )


_RUNNING = (
    """
SELECT r.run_id, r.progress, said.type AS said,
       extract(epoch FROM clock_timestamp() - r.started_at)::float8 AS seconds,
       extract(epoch FROM clock_timestamp() - coalesce(r.heard_at, r.started_at))::float8 AS silent,
       (SELECT coalesce((facts ->> 'input_rows')::bigint, rows) FROM nightledger.manifest m
         WHERE m.run_id = r.run_id AND dataset = 'raw') AS rows_in,
       (SELECT rows FROM nightledger.manifest m WHERE m.run_id = r.run_id AND dataset = 'good') AS asked
  FROM nightledger.run r
  LEFT JOIN LATERAL (SELECT type FROM nightledger.event e WHERE e.stream = r.run_id AND e.type = ANY (ARRAY[
"""
    + ", ".join(f"'{name}'" for name in NEXT)
    + """]) ORDER BY seq DESC LIMIT 1) said ON true
 WHERE r.run_id = ANY (:runs) AND r.status = 'running'"""
)

_ENDED = """
SELECT run_id, outcome, count(*) AS rows FROM nightledger.outcome WHERE run_id = ANY (:runs) GROUP BY 1, 2"""
