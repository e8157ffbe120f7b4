"""The rows behind a number: every failing row of an expectation, also of those whose rows went on."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from include.errors import ConfigurationError, ContractBroken
from include.ledger.record import find_manifest
from include.pages.reading import PAGE_ROWS, reading, rows
from include.quality.failures import FailingRow, read_failures

_DATASETS = {"check": "failures", "answers": "answer_failures"}
_RESULT = """
SELECT stage, severity, meaning, handling, unexpected_count AS failing
  FROM nightledger.quality_result WHERE run_id = :run AND expectation = :name"""


@dataclass(frozen=True, slots=True)
class Failing:
    """A page of the rows that fail one expectation of a run; `offset` rows come before it, `failing` there are."""

    expectation: str
    stage: str
    severity: str
    meaning: str
    handling: str
    failing: int
    offset: int
    rows: list[FailingRow]

    @property
    def next_offset(self) -> int | None:
        """Where the next page begins, None after the last."""
        end = self.offset + len(self.rows)
        return end if self.rows and end < self.failing else None


def show_failing(engine: Engine, run_id: str, expectation: str, offset: int = 0, limit: int = PAGE_ROWS) -> Failing:
    """Rows `offset` to `offset + limit`, in the order of the dataset.

    Raises ConfigurationError for an expectation that the run did not hold, and where its rows are not kept any more.
    """
    with reading(engine) as connection:
        found = rows(connection, _RESULT, run=run_id, name=expectation)
    if not found:
        raise ConfigurationError("no such expectation in this run", system="ledger", about=expectation)
    result = dict(found[0])
    manifest = find_manifest(engine, run_id, _DATASETS[result["stage"]])
    try:
        page = read_failures(manifest, expectation, offset, limit) if manifest and result["failing"] else []
    except ContractBroken as error:
        raise ConfigurationError(f"no such rows any more: {error.problem}", system="staging", about=run_id) from error
    if result["failing"] and manifest is None:
        raise ConfigurationError("no such rows: the run kept none of those that went on", system="ledger", about=run_id)
    return Failing(expectation=expectation, offset=offset, rows=page, **result)
