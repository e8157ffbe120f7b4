"""A table keeps what every sink promises, on PostgreSQL and on SQLite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.models import Record
from include.systems.port import Destination
from include.systems.sql.declared import Table
from tests.core.systems.contracts import SinkContract, SinkWorld, outgoing
from tests.core.systems.sql.conftest import Base
from tests.core.systems.sql.proxy import Proxy

SINK = Table(system="shop", object="answers", fields={"score": "score", "note": "note"}, key=("id",), version="version")
BUMP = {
    True: (
        "CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
        "new.version := old.version + 1; RETURN new; END$$",
        "CREATE TRIGGER bump BEFORE UPDATE ON answers FOR EACH ROW EXECUTE FUNCTION bump()",
        "CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
        "INSERT INTO changes VALUES (new.id); RETURN new; END$$",
        "CREATE TRIGGER log AFTER INSERT OR UPDATE ON answers FOR EACH ROW EXECUTE FUNCTION log()",
    ),
    False: (
        "CREATE TRIGGER bump AFTER UPDATE OF score, note ON answers BEGIN "
        "UPDATE answers SET version = old.version + 1 WHERE id = old.id; INSERT INTO changes VALUES (old.id); END",
        "CREATE TRIGGER log AFTER INSERT ON answers BEGIN INSERT INTO changes VALUES (new.id); END",
    ),
}


class AnswersWorld(SinkWorld):
    creates = True
    versioned = True

    def __init__(self, base: Base, proxy: Proxy | None) -> None:
        self.base, self.proxy, self._ours = base, proxy, 0
        standing = base.standing
        if proxy:
            standing = standing.with_(connection={**standing.connection, "host": str(proxy.folder)})
        self.standing = standing
        base.run(
            "CREATE TABLE answers (id text PRIMARY KEY, score integer, "
            "note varchar(40) CHECK (length(note) <= 40), version integer NOT NULL DEFAULT 1)"
        )
        base.run("CREATE TABLE changes (id text)")
        for statement in BUMP[base.is_postgres]:
            base.run(statement)

    def put(self, number: int, **values: Any) -> None:
        before = self._changes()
        self.base.run(
            "INSERT INTO answers (id, score, note) VALUES (?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET score = excluded.score, note = excluded.note",
            self.id_of(number), values["score"], values["note"],
        )  # fmt: skip
        self._ours += self._changes() - before

    def held(self) -> Mapping[str, Record]:
        rows = self.base.run("SELECT id, score, note FROM answers")
        return {one: {"score": score, "note": note} for one, score, note in rows}

    def writes_seen(self) -> int:
        return self._changes() - self._ours

    def lose_next_answer(self) -> None:
        if self.proxy:
            self.proxy.lose_next_commit()

    def id_of(self, number: int) -> str:
        return f"A/{number}"

    def open(self) -> Destination:
        there = SINK.open(self.standing)
        there.sleep = lambda _: None
        return there

    def _changes(self) -> int:
        return int(self.base.run("SELECT count(*) FROM changes")[0][0])


class TestPostgres(SinkContract):
    @pytest.fixture
    def world(self, postgres_base: Base, tmp_path: Path) -> Iterator[AnswersWorld]:
        proxy = Proxy(tmp_path, postgres_base.standing.connection["host"])
        yield AnswersWorld(postgres_base, proxy)
        proxy.close()

    def test_a_lost_answer_is_asked_for_by_sending_again_at_once(self, world: AnswersWorld) -> None:
        world.lose_next_answer()
        there = world.open()
        (sent,) = there.send({world.id_of(1): outgoing(there, 1)}).values()
        assert sent.after is not None
        assert (there.calls, there.retries, world.writes_seen()) == (2, 1, 1)


class TestSqlite(SinkContract):
    @pytest.fixture
    def world(self, sqlite_base: Base) -> AnswersWorld:
        return AnswersWorld(sqlite_base, None)

    def test_the_same_write_again_is_not_written_twice(self, world: SinkWorld) -> None:
        """No network can lose an answer within the process, so the write is simply sent again."""
        there = world.open()
        write = replace(outgoing(there, 1), version=None)
        assert [one.after for _ in range(2) for one in there.send({world.id_of(1): write}).values()][1]
        assert world.writes_seen() == 1
