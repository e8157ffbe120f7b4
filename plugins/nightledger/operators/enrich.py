"""The operator that asks the model for a whole shard within one task, live or through the provider's batch API."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from nightledger.links import QuarantineLink, RunLink
from nightledger.tasks import resume, stage_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.night.enrich.enrich import Work
    from include.run import Night

LONGEST_BATCH = timedelta(hours=26)
"""A provider's batch ends within 24 hours, answered or expired."""


class EnrichOperator(BaseOperator):
    """Answer every row of a shard under the key's limits, each inference on record; map it over what `plan` returns.

    `rows` is the manifest of the shard (no row is ever a template field); returns the manifest of the answered rows.
    `asking` is `live` or `batch` (default: the spec's); a batch is waited for without a worker. A retry reuses what is
    committed, asks again at most what was in flight, and finds the batches that it had submitted.
    """

    template_fields: Sequence[str] = ("rows",)
    operator_extra_links = (RunLink(), QuarantineLink())

    def __init__(self, *, use_case: str, rows: Any, asking: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.use_case = use_case
        self.rows = rows
        self.asking = asking

    @property
    def shard(self) -> str:
        """Which rows it answers, for the list of mapped tasks: `{{ task.shard }}` as `map_index_template`."""
        facts = self.rows["facts"]
        if "first" not in facts:
            return "all rows"
        return f"rows {facts['first'] + 1:,} to {facts['first'] + facts['count']:,}"

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the enrich stage on the resolved manifest."""
        with stage_of("enrich", self.rows) as night:
            work = self._begin(night)
            if work.is_batched(self.asking or work.night.asking):
                work.decide()
                return self._advance(work)
            work.ask()
            return work.finish().to_json()

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on after batches have ended: land them, ask again what failed, or finish."""
        with stage_of("enrich", self.rows) as night:
            return self._advance(self._begin(night))

    def on_kill(self) -> None:
        """End open batches, which would be paid for nothing."""
        work = self._begin(resume(self.rows))
        if work.is_batched(self.asking or work.night.asking):
            self.log.info("%d batches cancelled", asyncio.run(work.batching().cancel()))

    def _begin(self, night: Night) -> Work:
        from include.models import Manifest
        from include.night.enrich.enrich import begin

        return begin(night, Manifest.from_json(self.rows))

    def _advance(self, work: Work) -> dict[str, Any]:
        from nightledger.triggers import BatchTrigger

        waiting = asyncio.run(work.batching().advance())
        if waiting:
            system = work.answering.system
            trigger = BatchTrigger(system.connection, waiting, system.batch_poll_seconds)
            self.defer(trigger=trigger, method_name="resume", timeout=LONGEST_BATCH)
        return work.finish().to_json()
