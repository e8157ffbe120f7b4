"""The operator that asks the model for a whole shard within one task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from nightledger.context import airflow_errors

if TYPE_CHECKING:
    from airflow.sdk import Context


class EnrichOperator(BaseOperator):
    """Answer every row of a shard under the key's limits, each inference on record; map it over what `plan` returns.

    `rows` is the manifest of the shard (no row is ever a template field); returns the manifest of the answered rows.
    A retry reuses what is committed and asks again at most what was in flight.
    """

    template_fields: Sequence[str] = ("rows",)

    def __init__(self, *, use_case: str, rows: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.use_case = use_case
        self.rows = rows

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the enrich stage on the resolved manifest."""
        from include.enrich.enrich import enrich
        from include.models import Manifest
        from nightledger.tasks import resume

        with airflow_errors():
            return enrich(resume(self.rows), Manifest.from_json(self.rows)).to_json()
