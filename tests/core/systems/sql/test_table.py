"""What a table as a sink does beyond the contract: guards, intervals, several writes an answer, new tables."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from include.errors import AccessDenied, ConfigurationError, ContractBroken
from include.models import Interval
from include.systems.port import VERSION, Outgoing, Sent
from include.systems.sql.declared import Table
from include.systems.sql.writing import TableDestination
from include.systems.values import plain, same
from tests.core.systems.contracts import NIGHT
from tests.core.systems.sql.conftest import Base

DAY = timedelta(days=1)
STAMPED = Table(
    system="shop",
    object="scores",
    fields={"score": "score", "why": "why"},
    key=("id",),
    make=True,
    stamps={"run_id": "run_id", "interval_end": "interval_end", "loaded_at": "loaded_at"},
)
LINES = Table(
    system="shop", object="lines", fields={"q": "quantity"}, key=("series", "week"), each="horizon", make=True
)


@pytest.fixture(params=["postgres", "sqlite"])
def base(request: pytest.FixtureRequest) -> Base:
    found: Base = request.getfixturevalue(f"{request.param}_base")
    return found


def opened(base: Base, sink: Table, night: Interval = NIGHT, run_id: str = "run-1") -> TableDestination:
    there = sink.open(base.standing.with_(interval=night, run_id=run_id))
    there.sleep = lambda _: None
    return there


def send(there: TableDestination, writes: dict[str, dict[str, Any]], **more: Any) -> dict[str, Sent]:
    return there.send({one: Outgoing(there.form(values), one, **more) for one, values in writes.items()})


def test_a_table_is_made_with_the_types_of_the_values_and_given_columns_when_they_have_a_value(base: Base) -> None:
    there = opened(base, STAMPED)
    there.check_contract()
    assert there.read(["1"]) == {}
    send(there, {"1": {"score": 0.5, "why": None}, "2": {"score": 1, "why": None}})
    assert "why" not in there.read(["1"])["1"]
    send(there, {"2": {"score": 1, "why": {"because": ["a\u202eb", 1]}}})
    found = opened(base, STAMPED).read(["1", "2"])
    assert (found["1"]["score"], found["1"]["why"]) == (0.5, None)
    why = found["2"]["why"]
    assert why in ({"because": ["ab", 1]}, '{"because": ["ab", 1]}')
    assert found["2"]["run_id"] == "run-1"


def test_a_table_is_never_made_where_nobody_said_so(base: Base) -> None:
    there = opened(base, replace(STAMPED, make=False))
    with pytest.raises(ContractBroken, match="no 'scores'"):
        there.check_contract()
    with pytest.raises(ContractBroken, match="no such table"):
        send(there, {"1": {"score": 1}})


def test_an_older_interval_never_replaces_a_newer_one_and_the_same_values_keep_run_and_time(base: Base) -> None:
    send(opened(base, STAMPED), {"1": {"score": 1}, "2": {"score": 1}})
    (loaded,) = base.run("SELECT loaded_at FROM scores WHERE id = '1'")
    later = opened(base, STAMPED, Interval(NIGHT.start + DAY, NIGHT.end + DAY), "run-2")
    send(later, {"1": {"score": 1}, "2": {"score": 2}})
    assert base.run("SELECT id, score, run_id FROM scores ORDER BY id") == [("1", 1, "run-1"), ("2", 2, "run-2")]
    assert base.run("SELECT loaded_at FROM scores WHERE id = '1'") == [loaded]
    older = opened(base, STAMPED, run_id="run-3")
    assert older.holds(older.read(["2"])["2"], {"score": 1})
    (sent,) = send(older, {"2": {"score": 1}}).values()
    assert (sent.after, sent.cause) == (None, "changed_since_read")
    assert base.run("SELECT score FROM scores WHERE id = '2'") == [(2,)]


def test_several_writes_of_one_answer_are_numbered_records_of_their_own(base: Base) -> None:
    there = opened(base, LINES)
    sent = send(there, {f"SKU/7/{n}": {"quantity": n * 1.5} for n in range(3)} | {"SKU/7": {"quantity": 1}, "x": {}})
    assert [one.cause for one in sent.values()] == ["", "", "", "", "rejected_by_destination"]
    rows = base.run("SELECT series, week, quantity FROM lines ORDER BY series, week")
    assert rows == [("SKU", 7, 1.0), ("SKU/7", 0, 0.0), ("SKU/7", 1, 1.5), ("SKU/7", 2, 3.0)]
    assert there.read(["SKU/7/2"])["SKU/7/2"]["quantity"] == 3


def test_a_key_of_several_columns_takes_the_ids_that_a_source_gives(base: Base) -> None:
    base.run("CREATE TABLE stock (plant text, product integer, level integer, PRIMARY KEY (plant, product))")
    sink = Table(system="shop", object="stock", fields={"l": "level"}, key=("plant", "product"))
    sent = send(opened(base, sink), {"a%2Fb,7": {"level": 1}, "no key": {"level": 2}})
    assert {one: s.cause for one, s in sent.items()} == {"a%2Fb,7": "", "no key": "rejected_by_destination"}
    assert base.run("SELECT * FROM stock") == [("a/b", 7, 1)]


def test_a_row_is_written_back_under_the_id_that_its_source_gave_it(base: Base) -> None:
    base.run("CREATE TABLE scores (id text PRIMARY KEY, score integer)")
    sink = Table(system="shop", object="scores", fields={"s": "score"}, key=("id",), target="id")
    send(opened(base, sink), {"a%2Fb": {"score": 1}})
    assert base.run("SELECT id FROM scores") == [("a/b",)]


STRICT = replace(STAMPED, guard="unchanged_since_read", stamps={}, make=False)


@pytest.fixture
def scores(base: Base) -> Base:
    base.run(f"CREATE TABLE scores (id text PRIMARY KEY, score integer, why {'json' if base.is_postgres else 'text'})")
    base.run("""INSERT INTO scores VALUES ('1', 1, '["a"]'), ('2', 2, NULL), ('3', 3, NULL)""")
    return base


def test_without_a_version_what_was_read_is_compared_at_the_last_moment(scores: Base) -> None:
    there = opened(scores, STRICT)
    read = there.read(["1", "2", "3"])
    scores.run("UPDATE scores SET why = '[\"a person\"]' WHERE id = '2'")
    scores.run("DELETE FROM scores WHERE id = '3'")
    scores.run("INSERT INTO scores VALUES ('4', 4, NULL)")
    sent = there.send(
        {i: Outgoing({"score": 9, "why": None}, i, before=read.get(i)) for i in ("1", "2", "3", "4", "5")}
    )
    changed = "changed_since_read"
    assert [one.cause for one in sent.values()] == ["", changed, changed, changed, ""]
    assert scores.run("SELECT id, score FROM scores ORDER BY id") == [("1", 9), ("2", 2), ("4", 4), ("5", 9)]
    again = there.send({"1": Outgoing({"score": 9, "why": None}, "1", before=read["1"])})
    assert again["1"].after is not None


def test_a_record_that_was_deleted_since_it_was_read_is_not_made_anew(scores: Base) -> None:
    there = opened(scores, replace(STRICT, guard="own_fields"))
    read = there.read(["1"])
    scores.run("DELETE FROM scores WHERE id = '1'")
    (sent,) = there.send({"1": Outgoing({"score": 9}, "1", before=read["1"])}).values()
    assert sent.cause == "changed_since_read"
    (sent,) = opened(scores, replace(STRICT, creates=False)).send({"1": Outgoing({"score": 9}, "1")}).values()
    assert sent.cause == "record_missing"
    assert scores.run("SELECT count(*) FROM scores") == [(2,)]


def test_two_writes_for_one_record_in_a_batch_are_not_both_written(base: Base) -> None:
    base.run("CREATE TABLE scores (id integer PRIMARY KEY, score integer)")
    there = opened(base, replace(STRICT, fields={"score": "score"}, guard="own_fields"))
    sent = send(there, {"7": {"score": 1}, "07": {"score": 2}})
    assert sent["7"].after is not None
    assert sent["07"].cause == "rejected_by_destination"
    assert base.run("SELECT * FROM scores") == [(7, 1)]


def test_every_record_that_violates_a_constraint_is_found_and_no_value_is_quoted(base: Base) -> None:
    base.run("CREATE TABLE scores (id text PRIMARY KEY, score integer CHECK (score < 100), why text NOT NULL)")
    there = opened(base, replace(STRICT, guard="own_fields"))
    bad = {3: {"score": 12345}, 17: {"why": None}, 18: {"score": 54321}}
    writes = {str(n): {"score": n, "why": "secret", **bad.get(n, {})} for n in range(40)}
    sent = send(there, writes)
    assert {int(one) for one, s in sent.items() if s.cause == "rejected_by_destination"} == set(bad)
    assert len(base.run("SELECT 1 FROM scores")) == 37
    said = " ".join(s.detail for s in sent.values())
    assert "score" in said
    assert not any(value in said for value in ("12345", "54321", "secret"))


def test_a_constraint_that_waits_for_the_commit_does_not_cost_the_batch(postgres_base: Base) -> None:
    postgres_base.run("CREATE TABLE scores (id text PRIMARY KEY, score integer UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    there = opened(postgres_base, replace(STRICT, fields={"score": "score"}, guard="own_fields"))
    sent = send(there, {"1": {"score": 1}, "2": {"score": 1}, "3": {"score": 3}})
    assert [one.cause for one in sent.values()] == ["", "rejected_by_destination", ""]


def test_a_triggers_own_words_are_not_repeated(postgres_base: Base) -> None:
    postgres_base.run("CREATE TABLE scores (id text PRIMARY KEY, score integer)")
    postgres_base.run(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no: %', new.score; END$$",
    )
    postgres_base.run("CREATE TRIGGER no BEFORE INSERT ON scores FOR EACH ROW EXECUTE FUNCTION no()")
    there = opened(postgres_base, replace(STRICT, fields={"score": "score"}, guard="own_fields"))
    (sent,) = send(there, {"1": {"score": 4711}}).values()
    assert (sent.cause, sent.detail) == ("rejected_by_destination", "refused by a trigger")


def test_postgres_own_version_holds_a_write_against_what_was_read(postgres_base: Base) -> None:
    postgres_base.run("CREATE TABLE scores (id text PRIMARY KEY, score integer)")
    postgres_base.run("INSERT INTO scores VALUES ('1', 1), ('2', 2)")
    sink = replace(STRICT, fields={"score": "score"}, version="xmin")
    there = opened(postgres_base, sink)
    there.check_contract()
    read = there.read(["1", "2"])
    postgres_base.run("UPDATE scores SET score = 5 WHERE id = '2'")
    sent = there.send({i: Outgoing({"score": 9}, i, version=read[i][VERSION], before=read[i]) for i in ("1", "2")})
    assert [one.cause for one in sent.values()] == ["", "changed_since_read"]
    assert sent["1"].after
    assert sent["1"].after[VERSION] != read["1"][VERSION]
    (sent_new,) = there.send({"2": Outgoing({"score": 9}, "2")}).values()
    assert sent_new.cause == "changed_since_read"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("id text PRIMARY KEY, scores integer, why text", "no 'score'; closest: 'scores'"),
        ("id text, score integer, why text", "nothing keeps id unique"),
        (
            "id text PRIMARY KEY, score integer GENERATED ALWAYS AS (1) STORED, why text",
            "'score' is filled by the database",
        ),
    ],
)
def test_a_table_that_does_not_fit_is_told_before_anything_is_sent(base: Base, columns: str, said: str) -> None:
    base.run(f"CREATE TABLE scores ({columns})")
    with pytest.raises(ContractBroken, match=said):
        opened(base, STRICT).check_contract()


def test_names_and_values_are_never_statements(base: Base) -> None:
    odd = 'x"; DROP TABLE scores; --%s'
    sink = Table(system="shop", object='odd "name"', fields={"a": odd}, key=("i'd",), make=True, stamps={"run_id": "r"})
    there = sink.open(base.standing.with_(run_id="'); DROP TABLE scores; --"))
    (sent,) = send(there, {"'; --\\": {odd: "\\.\n'); DROP"}}).values()
    assert sent.after
    assert sent.after[odd] == "\\.\n'); DROP"
    assert there.read(["'; --\\"])["'; --\\"]["r"] == "'); DROP TABLE scores; --"


def test_batches_from_several_threads_are_written_once_each(postgres_base: Base) -> None:
    there = opened(postgres_base, replace(STAMPED, stamps={}))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda part: send(there, {f"{part}-{n}": {"score": n} for n in range(20)}), range(4)))
    assert postgres_base.run("SELECT count(*) FROM scores") == [(80,)]


def test_a_missing_right_is_told_as_one(postgres_base: Base) -> None:
    postgres_base.run("CREATE TABLE scores (id text PRIMARY KEY, score integer, why text)")
    postgres_base.run("DROP ROLE IF EXISTS writer")
    postgres_base.run("CREATE ROLE writer LOGIN")
    postgres_base.run("GRANT USAGE ON SCHEMA public TO writer")
    here = postgres_base.standing.with_(connection={**postgres_base.standing.connection, "login": "writer"})
    try:
        with pytest.raises(AccessDenied, match="permission denied for"):
            send(STRICT.open(here), {"1": {"score": 1}})
    finally:
        postgres_base.run("DROP OWNED BY writer")
        postgres_base.run("DROP ROLE writer")


@pytest.mark.parametrize("changes", [{"key": ()}, {"fields": {}}, {"fields": {"a": "id"}}, {"object": ""}])
def test_a_declaration_that_cannot_work_is_refused_when_it_is_opened(sqlite_base: Base, changes: Any) -> None:
    with pytest.raises(ConfigurationError):
        replace(STRICT, **changes).open(sqlite_base.standing)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("1.50"), 1.5),
        (Decimal("3.00"), 3),
        (Decimal("0.12345678901234567890"), "0.12345678901234567890"),
        (datetime(2026, 1, 1, 3, tzinfo=UTC), "2026-01-01T03:00:00+00:00"),
        (date(2026, 1, 1), "2026-01-01"),
        (float("nan"), None),
        ({"a": (Decimal("NaN"), "x\x00")}, {"a": [None, "x\ufffd"]}),
    ],
)
def test_values_have_a_form_in_json(value: Any, expected: Any) -> None:
    assert plain(value) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1.0, True),
        (True, 1, True),
        ("1", 1, True),
        ("2026-01-01T03:00:00+00:00", "2026-01-01 04:00:00+01:00", True),
        ("1.50", "1.5", False),
        (None, 0, False),
        ({"a": 1}, "{'a': 1}", False),
        ("a", 1, False),
    ],
)
def test_values_that_mean_the_same_are_told(one: Any, other: Any, expected: bool) -> None:
    assert same(one, other) is expected
