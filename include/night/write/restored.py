"""Tokens on the side of the ledger, values on the side of the destination."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from include.models import Record
from include.night.write.outbox import Write
from include.plain import defused, visible_all
from include.privacy.tokens import restore
from include.run import Night
from include.systems.port import Destination, Outgoing, Sent


def hidden_values(night: Night, row: Record) -> dict[str, str]:
    """What the tokens in an approved row's answer stand for, found anew in the texts that it brings along."""
    hidden = row.get("hidden")
    return night.hider.values_of(json.loads(hidden), night.case.tokenise) if hidden else {}


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
