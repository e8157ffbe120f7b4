"""Tokens on the side of the ledger, values on the side of the destination."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from include.errors import ContractBroken
from include.ledger.record import find_manifest
from include.models import Manifest, Record
from include.night.write.outbox import Write
from include.plain import defused, visible_all
from include.privacy.tokens import restore, tokens_in
from include.run import Night
from include.staging import read_rows
from include.systems.port import Destination, Outgoing, Sent

log = logging.getLogger(__name__)
Values = Mapping[str, Mapping[str, str]]
"""By row id: what the tokens of a row stand for."""


def find_values(night: Night, approved: Manifest) -> Values:
    """What the tokens in approved answers stand for, found anew in the rows that the run was run on.

    Rows that are not there any more are left out: their answers cannot be delivered.
    """
    answers = read_rows(approved, columns=["row_id", "output"])
    needed = {row["row_id"] for row in answers if tokens_in(row["output"])}
    good = find_manifest(night.ledger, night.run_id, "good") if needed else None
    if good is None:
        return {}
    columns = night.case.tokenise
    try:
        rows = read_rows(good, rows=night.settings.chunk_rows, columns=["row_id", *columns])
        return {row["row_id"]: _values_of(night, row) for row in rows if row["row_id"] in needed}
    except (ContractBroken, OSError) as error:
        log.warning("the rows of %s cannot be read any more (%s)", night.run_id, type(error).__name__)
        return {}


def _values_of(night: Night, row: Record) -> Mapping[str, str]:
    return night.hider.values_of({name: row[name] for name in night.case.tokenise}, night.case.tokenise)


def is_known(row: Record, values: Values) -> bool:
    """Whether everything that is a token in an approved row's answer can be put back."""
    return tokens_in(row["output"]) <= tokens_in(list(values.get(row["row_id"], ())))


@dataclass(frozen=True, slots=True)
class _Known:
    """A write in both forms, and what its tokens stand for."""

    tokens: Mapping[str, Any]
    values: Mapping[str, Any]
    stands_for: Mapping[str, str]


@dataclass
class Restored:
    """A destination that is sent values where the ledger has tokens, and read with tokens where it holds those values.

    So what is on record of a write, before and after, has tokens alone, and a field that holds what was sent compares
    as equal to what was decided.
    """

    there: Destination
    _known: dict[str, _Known] = field(default_factory=dict)

    def expect(self, writes: Iterable[Write], stands_for: Mapping[str, str]) -> None:
        """Note what the tokens of these writes stand for."""
        for write in writes:
            values = _plain(restore(write.fields, stands_for))
            if values != write.fields:
                self._known[write.external_id] = _Known(write.fields, values, stands_for)

    @property
    def batch_rows(self) -> int:
        """As there."""
        return self.there.batch_rows

    @property
    def in_air(self) -> int:
        """As there."""
        return self.there.in_air

    @property
    def creates(self) -> bool:
        """As there."""
        return self.there.creates

    @property
    def calls(self) -> int:
        """As there."""
        return self.there.calls

    @property
    def retries(self) -> int:
        """As there."""
        return self.there.retries

    def check_contract(self) -> None:
        """As there."""
        self.there.check_contract()

    def form(self, values: Record) -> Record:
        """Values with tokens, in the destination's form."""
        return self.there.form(values)

    def holds(self, current: Record, values: Record) -> bool:
        """Whether a record, read with tokens, holds these values, with tokens."""
        return self.there.holds(current, values)

    def read(self, ids: Sequence[str]) -> Mapping[str, Record] | None:
        """Records, with tokens in the place of what was hidden of their rows."""
        found = self.there.read(ids)
        return None if found is None else {name: self._hidden(name, record) for name, record in found.items()}

    def send(self, writes: Mapping[str, Outgoing]) -> Mapping[str, Sent]:
        """Write the values themselves."""
        sent = self.there.send({name: self._shown(name, write) for name, write in writes.items()})
        return {
            name: replace(one, after=None if one.after is None else self._hidden(name, one.after))
            for name, one in sent.items()
        }

    def _shown(self, name: str, write: Outgoing) -> Outgoing:
        known = self._known.get(name)
        if known is None:
            return write
        values = _plain(restore(dict(write.values), known.stands_for))
        before = None if write.before is None else restore(write.before, known.stands_for)
        return replace(write, values=values, before=before)

    def _hidden(self, name: str, record: Record) -> Record:
        known = self._known.get(name)
        if known is None:
            return record
        return {
            field: known.tokens[field] if field in known.values and known.values[field] == value else value
            for field, value in record.items()
        }


def _plain(values: Record) -> Record:
    """A value may hold what a text must not begin with; what is sent is as plain as any text that goes out."""
    return {name: defused(visible_all(value)) for name, value in values.items()}
