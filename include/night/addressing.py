"""What an approved row says to a sink: which records, under which ids, with which values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from include.errors import ContractBroken
from include.models import Record
from include.plain import defused, visible_all
from include.systems.port import Sink, Source

CONFIDENCE_DIGITS = 2


def addressed(sink: Sink, sources: Iterable[Source], row: Record) -> Iterator[tuple[str, Record]]:
    """Id and values of every record that an approved row is to write: one, or one for each element of list `each`.

    None for a row that the sink is not meant for. `sources` tell which part of a row id is the id there. Ids come from
    what the decision has sealed, never from the answer.
    """
    output: Record = json.loads(row["output"])
    if sink.only_from is not None and sink.only_from != _source_of(sources, str(row["row_id"])):
        return
    if sink.when is not None and not sink.when(output):
        return
    name = str(row["row_key"]) if sink.target == "key" else _id_at_source(sources, str(row["row_id"]))
    if sink.each is None:
        yield name, _values(sink, output, row)
        return
    for number, element in enumerate(output.get(sink.each) or (), 1):
        yield f"{name}/{number}", _values(sink, {**output, **element}, row)


def _id_at_source(sources: Iterable[Source], row_id: str) -> str:
    """What follows `<system>/<object>/`; an id may hold slashes of its own."""
    return row_id.removeprefix(f"{_source_of(sources, row_id)}/")


def _source_of(sources: Iterable[Source], row_id: str) -> str:
    """`<system>/<object>` of the source that gave the row; a folder may lie in that of another source."""
    names = (f"{source.system}/{source.object}" for source in sources)
    found = max((name for name in names if row_id.startswith(f"{name}/")), key=len, default=None)
    if found is None:
        raise ContractBroken("a row's id names none of the sources", system="staging", about="approved")
    return found


def properties(sink: Sink, row: Record) -> Record:
    """The values to write for one approved row, by the destination's names."""
    return _values(sink, json.loads(row["output"]), row)


def _values(sink: Sink, output: Record, row: Record) -> Record:
    """The confidence is rounded, text is made plain.

    Text has no control, bidi or invisible characters, and is no formula: people export lists to spreadsheets. Markup
    stays, since it is text; whoever shows it escapes it. What is compared, sent and kept is this form.

    No time of scoring is among them: it would differ on each run, so no re-run could be free of writes. When a record
    was written is in the outbox.
    """
    values: Record = {**output, "origin": row["origin"]}
    if isinstance(values.get("confidence"), float):
        values["confidence"] = round(values["confidence"], CONFIDENCE_DIGITS)
    return {name: defused(visible_all(values.get(field))) for field, name in sink.fields.items()}
