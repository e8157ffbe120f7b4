"""What every source and sink has to do, by OData over real HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from include.models import Column, Record
from include.systems.odata.declared import ODataRecords, ODataSink, Paging
from include.systems.odata.reading import ODataReader
from include.systems.odata.values import instant
from include.systems.odata.writing import ODataDestination
from tests.core.systems.contracts import SinkContract, SinkWorld, SourceWorld, VersionedSourceContract, outgoing
from tests.core.systems.odata.conftest import Erp, Here

COLUMNS = (Column("name", "name"), Column("amount", "amount", "number"))
CHANGED = Column("ChangedAt", "changed_at", "datetime")
CODE, PLANT, NUMBER = Column("Code", "code"), Column("Plant", "plant"), Column("Number", "number", "integer")


@dataclass
class Things(SourceWorld):
    """A set with keys that need quoting and encoding."""

    erp: Erp
    here: Here
    paging: Paging = "key"
    object: str = "Things"
    keys: tuple[Column, ...] = (CODE,)

    def key_of(self, number: int) -> dict[str, Any]:
        return {"Code": f"it's {number:03d} & 50% of #1+ü"}

    def put(self, number: int, changed: datetime, name: str = "Ann", amount: Any = "1.5") -> None:
        self.erp.put(self.object, **self.key_of(number), name=name, amount=str(amount), ChangedAt=instant(changed))

    def remove(self, number: int) -> None:
        each = self.erp.set_of(self.object)
        self.erp.store.remove(each, self.erp.store.key_of(self.object, self.key_of(number)))

    def rename_column(self, old: str, new: str) -> None:
        props = {new if name == old else name: prop for name, prop in self.erp.set_of(self.object).props.items()}
        self.erp.change_set(self.object, props=props)

    def id_of(self, number: int) -> str:
        return str(self.key_of(number)["Code"])

    def open(self) -> ODataReader:
        source = ODataRecords(
            system="erp", object=self.object, keys=self.keys, changed=CHANGED, columns=COLUMNS, paging=self.paging
        )
        return source.open(self.here)


@dataclass
class Lines(Things):
    """A set whose key is two properties, a text and a 64-bit number."""

    object: str = "Lines"
    keys: tuple[Column, ...] = (PLANT, NUMBER)

    def key_of(self, number: int) -> dict[str, Any]:
        return {"Plant": "DE,01" if number % 2 else "o'FR", "Number": 2**53 + number}

    def id_of(self, number: int) -> str:
        plant = "DE%2C01" if number % 2 else "o'FR"
        return f"{plant},{2**53 + number}"


class TestSource(VersionedSourceContract):
    @pytest.fixture(params=["by key", "by links", "by relative links", "by a key of two"])
    def world(self, request: pytest.FixtureRequest, erp: Erp, here: Here) -> SourceWorld:
        erp.api.relative_links = "relative" in request.param
        if "two" in request.param:
            return Lines(erp, here)
        return Things(erp, here, "links" if "links" in request.param else "key")


@dataclass
class Scores(SinkWorld):
    """Records that may be created or not, at a service that may insist on `If-Match`."""

    erp: Erp
    here: Here
    creates: bool = False  # type: ignore[misc]
    versioned = True
    own: int = field(default=1)

    def put(self, number: int, **values: Any) -> None:
        given = {name: str(value) if name == "score" else value for name, value in values.items()}
        self.erp.put("Scores", Id=self.id_of(number), **given)
        self.own += 1

    def held(self) -> Mapping[str, Record]:
        return {one.values["Id"]: one.values for one in self.erp.store.all("Scores")}

    def writes_seen(self) -> int:
        return self.erp.store.changes - self.own

    def lose_next_answer(self) -> None:
        self.erp.fail(rates={"reset": 1.0}, only="write", first_asks=1)

    def id_of(self, number: int) -> str:
        return f"o'{number}/x"

    def open(self) -> ODataDestination:
        fields = {"score": "score", "note": "note"}
        sink = ODataSink(system="erp", object="Scores", fields=fields, keys=("Id",), creates=self.creates)
        return sink.open(self.here)


class TestSink(SinkContract):
    @pytest.fixture(params=["", "creates", "insists", "creates, insists"])
    def world(self, request: pytest.FixtureRequest, erp: Erp, here: Here) -> SinkWorld:
        erp.change_set("Scores", needs_etag="insists" in request.param)
        return Scores(erp, here, "creates" in request.param)


def test_a_made_record_whose_answer_was_lost_is_not_made_again(erp: Erp, here: Here) -> None:
    world = Scores(erp, here, creates=True)
    there = world.open()
    world.lose_next_answer()
    (sent,) = there.send({"new": outgoing(there, 1)}).values()
    assert sent.after is not None
    assert world.writes_seen() == 1
    assert len(erp.paths("POST")) == 1
