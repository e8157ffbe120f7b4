"""The quarantine by itself: chosen, counted, settled once, and taken along by later runs of a night."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, text

from include.canonical import digest
from include.database import transaction
from include.errors import ConfigurationError
from include.ledger import tables
from include.ledger.closing import close_run
from include.ledger.quarantine import (
    UNREADABLE,
    Filter,
    count_by,
    count_query,
    dismiss,
    find_released,
    list_rows,
    mark_fixed,
    page_query,
    show,
)
from include.ledger.quarantine_replays import (
    Selection,
    begin_replay,
    copy_entries,
    nights_to_replay,
    replayed,
    run_of,
    settle,
)
from include.ledger.record import quarantine
from include.ledger.verify import verify
from include.models import Outcome, RejectedRow
from include.run import Night
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import end_rows, key_of, rows_of, stage_raw

EMAIL, VIEWS = "email_present", "page_views_range"


def set_aside(
    night: Night,
    failed: Mapping[str, Sequence[str]],
    *,
    owner: str = "sales",
    stage: str = "check",
    counts: bool = True,
) -> None:
    """Rows with the expectations they failed."""
    rows = [
        RejectedRow(
            row, key_of(row), "crm: a page", tuple(ids) or ("cannot be read",), {"email": "a@b.de", "page_views": -1},
            counts_as_input=counts, expectations=tuple(ids), owner=owner,
        )
        for row, ids in failed.items()
    ]  # fmt: skip
    with transaction(night.ledger) as connection:
        quarantine(connection, night, stage, rows)


def finish(night: Night, status: str = "succeeded") -> None:
    with transaction(night.ledger) as connection:
        settle(connection, night)
        close_run(connection, night.run_id, status, {}, rows_in=0)


def states(night: Night) -> list[tuple[str, str, str, list[str]]]:
    """Row, run number, status and the states of its history, of every entry."""
    q = tables.quarantine.c
    with transaction(night.ledger) as connection:
        found = connection.execute(select(q.row_id, q.run_id, q.status, q.history).order_by(q.row_id, q.run_id))
        return [(row, run[-1], status, [one["state"] for one in lines]) for row, run, status, lines in found]


def counted(night: Night) -> dict[tuple[Any, ...], int]:
    """The sums that are kept, after they were compared with the rows."""
    by = "run_id, status, owner, expectations"
    with transaction(night.ledger) as connection:
        kept = connection.execute(text(f"SELECT {by}, rows FROM quarantine_count WHERE rows <> 0 ORDER BY {by}")).all()
        rows = connection.execute(text(f"SELECT {by}, count(*) FROM quarantine GROUP BY {by} ORDER BY {by}")).all()
    assert kept == rows
    return {(run[-1], status): sum(r[4] for r in kept if r[:2] == (run, status)) for run, status, *_ in kept}


def test_entries_are_listed_by_page_and_counted_by_what_they_failed(make_night: MakeNight) -> None:
    night, rows = make_night(), rows_of(7)
    set_aside(night, {key: [EMAIL] for key in rows[:4]})
    set_aside(night, {rows[4]: [EMAIL, VIEWS]}, owner="vendor")
    set_aside(night, {rows[5]: []}, stage="extract")
    set_aside(make_night(day=1), {rows[6]: [VIEWS]})
    engine = night.ledger
    first = list_rows(engine, Filter(), limit=3)
    rest = list_rows(engine, Filter(), after=first[-1].number, limit=1_000_000)
    assert [row.row_id for row in first + rest] == rows[::-1]
    assert first[-1].expectations == (EMAIL, VIEWS)
    found = count_by(engine, Filter())
    assert found.rows == 7
    assert found.by_expectation == {EMAIL: 5, VIEWS: 2, UNREADABLE: 1}
    assert found.by_owner == {"sales": 6, "vendor": 1}
    assert found.by_status == {"open": 7}
    for chosen, numbers in (
        (Filter(expectation=VIEWS), [6, 4]),
        (Filter(expectation=UNREADABLE), [5]),
        (Filter(owner="vendor", status="waiting"), [4]),
        (Filter(status="dismissed"), []),
        (Filter(row_key=key_of(rows[2])), [2]),
        (Filter(run_id=night.run_id, use_case=night.case.name), [5, 4, 3, 2, 1, 0]),
        (Filter(start=datetime(2026, 11, 21, tzinfo=UTC)), [6]),
        (Filter(end=datetime(2026, 11, 21, tzinfo=UTC), expectation=VIEWS), [4]),
        (Filter(numbers=(first[0].number, first[1].number)), [6, 5]),
    ):
        assert [row.row_id for row in list_rows(engine, chosen)] == [rows[at] for at in numbers], chosen
        assert count_by(engine, chosen).rows == len(numbers), chosen
    with pytest.raises(ConfigurationError, match="waiting, open"):
        Filter(status="opne")


def test_a_row_may_fail_any_number_of_expectations(make_night: MakeNight) -> None:
    night, (row,) = make_night(), rows_of(1)
    many = [f"expectation_{digest(number)[:40]}" for number in range(300)]
    set_aside(night, {row: many})
    assert len(count_by(night.ledger, Filter(expectation=many[-1])).by_expectation) == 300
    assert dismiss(night.ledger, [1], "Kim", "hopeless") == 1
    assert counted(night) == {("1", "dismissed"): 1}


def test_one_is_shown_with_its_masked_record_and_all_reasons(make_night: MakeNight) -> None:
    night, (row,) = make_night(), rows_of(1)
    set_aside(night, {row: [EMAIL, VIEWS]})
    shown = show(night.ledger, 1)
    assert shown["record"]["email"].startswith("token:")
    assert (shown["record"]["page_views"], shown["reasons"]) == (-1, [EMAIL, VIEWS])
    with pytest.raises(ConfigurationError, match="no such entry"):
        show(night.ledger, 2)


def test_settling_by_hand_needs_a_filter_and_a_reason_and_is_done_once(make_night: MakeNight, ledger: Ledger) -> None:
    night, rows = make_night(), rows_of(4)
    set_aside(night, {rows[0]: [EMAIL], rows[1]: [EMAIL], rows[2]: [VIEWS], rows[3]: [VIEWS]})
    engine = night.ledger
    for act in (dismiss, mark_fixed):
        for chosen, reason in ((Filter(), "x"), (Filter(status="open"), "x"), ([], "x"), ([1], " ")):
            with pytest.raises(ConfigurationError, match="needs"):
                act(engine, chosen, "Kim", reason)
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: mark_fixed(engine, [1, 2], "Kim", "corrected"), range(4))) == 2
        assert sum(pool.map(lambda _: dismiss(engine, Filter(expectation=VIEWS), "Alex", "spam"), range(4))) == 2
    assert dismiss(engine, [1], "Kim", "not worth it") == 1
    assert mark_fixed(engine, [1, 3], "Kim", "corrected") == 0
    assert [(row[2], row[3]) for row in states(night)] == [
        ("dismissed", ["fixed", "dismissed"]),
        ("fixed", ["fixed"]),
        ("dismissed", ["dismissed"]),
        ("dismissed", ["dismissed"]),
    ]
    (line,) = show(engine, 3)["history"]
    assert (line["by"], line["reason"]) == ("Alex", "spam")
    assert counted(night) == {("1", "dismissed"): 3, ("1", "fixed"): 1}
    with engine.connect() as connection:
        said = connection.execute(text("SELECT type, actor, details ->> 'rows' FROM event WHERE stream LIKE 'quar%'"))
        assert sorted(map(tuple, said)) == [
            ("quarantine.dismissed", "Alex", "2"),
            ("quarantine.dismissed", "Kim", "1"),
            ("quarantine.fixed", "Kim", "2"),
        ]
    assert verify(ledger.owner).holds


def test_a_later_run_settles_what_it_lets_through_and_keeps_one_entry_of_the_rest(make_night: MakeNight) -> None:
    night, rows = make_night(), rows_of(6)
    set_aside(night, {key: [EMAIL] for key in rows})
    dismiss(night.ledger, [3, 4], "Kim", "spam")
    mark_fixed(night.ledger, [6], "Kim", "corrected")
    finish(night)
    later = make_night()
    end_rows(later, {rows[0]: Outcome.WRITTEN, rows[1]: Outcome.DEFERRED})
    set_aside(later, {rows[2]: [EMAIL], rows[3]: [VIEWS], rows[4]: [EMAIL], rows[5]: [EMAIL]})
    stage_raw(later, rows, reused_from=night.run_id)
    for _ in range(2):
        finish(later)
    assert states(night) == [
        (rows[0], "1", "replayed", ["overtaken"]),
        (rows[1], "1", "open", []),
        (rows[2], "1", "dismissed", ["dismissed"]),
        (rows[2], "2", "dismissed", ["dismissed", "carried"]),  # the same reasons, so it stays dismissed
        (rows[3], "1", "dismissed", ["dismissed"]),
        (rows[3], "2", "open", []),
        (rows[4], "1", "replayed", ["quarantined_again"]),
        (rows[4], "2", "open", []),
        (rows[5], "1", "replayed", ["fixed", "moved"]),
        (rows[5], "2", "fixed", ["fixed", "carried"]),  # its source has not been read again
    ]
    counted(night)


def test_a_claim_that_a_row_is_fixed_ends_when_its_source_was_read_again(make_night: MakeNight) -> None:
    night, rows = make_night(), rows_of(2)
    set_aside(night, {rows[0]: [EMAIL]})
    set_aside(night, {rows[1]: []}, stage="extract", counts=False)
    mark_fixed(night.ledger, [1], "Kim", "corrected")
    finish(night)
    later = make_night()
    set_aside(later, {rows[0]: [EMAIL]})
    stage_raw(later, rows[:1], limit=None)
    finish(later)
    assert [row[1:] for row in states(night)] == [
        ("1", "replayed", ["fixed", "quarantined_again"]),
        ("2", "open", []),
        ("1", "replayed", ["overtaken"]),  # the line is read now
    ]


def test_a_replay_begins_once_and_gives_back_what_it_did_not_decide(make_night: MakeNight) -> None:
    night, rows = make_night(), rows_of(5)
    set_aside(night, {rows[0]: [EMAIL], rows[1]: [EMAIL], rows[2]: [VIEWS], rows[3]: [EMAIL]})
    set_aside(night, {rows[4]: []}, stage="extract")
    mark_fixed(night.ledger, [2], "Kim", "corrected")
    finish(night)
    chosen = Selection(Filter(expectation=EMAIL))
    names = [night.case.name]
    assert nights_to_replay(night.ledger, chosen, names) == [(night.case.name, night.interval)]
    assert nights_to_replay(night.ledger, Selection(Filter(expectation=UNREADABLE)), names) == []
    again = Selection(Filter(expectation=UNREADABLE), read_anew=True)
    assert nights_to_replay(night.ledger, again, names) == [(night.case.name, night.interval)]
    found = run_of(night.ledger, chosen, night.case.name, night.interval)
    assert found is not None
    assert found[0] == night.run_id

    later = make_night(external_ref="quarantine/x")
    for _ in range(2):  # as after a kill
        begun = sorted(begin_replay(later, chosen, "Kim"))
        assert [(one.row_id, one.anew) for one in begun] == [(rows[0], False), (rows[1], True), (rows[3], False)]
    assert dismiss(later.ledger, Filter(expectation=EMAIL), "Alex", "too late") == 0
    end_rows(later, {rows[0]: Outcome.IN_REVIEW, rows[3]: Outcome.DEFERRED})
    set_aside(later, {rows[1]: [VIEWS]})
    finish(later)
    assert replayed(later, begun) == (3, 1, 1, 1)
    assert states(night) == [
        (rows[0], "1", "replayed", ["begun", "passed"]),
        (rows[1], "1", "replayed", ["fixed", "begun", "quarantined_again"]),
        (rows[1], "2", "open", []),
        (rows[2], "1", "open", []),
        (rows[3], "1", "open", ["begun", "not_tried"]),
        (rows[4], "1", "open", []),
    ]
    counted(night)


def test_entries_of_rows_that_are_not_replayed_are_taken_along_with_what_was_said(make_night: MakeNight) -> None:
    night, rows = make_night(), rows_of(5)
    set_aside(night, {key: [EMAIL] for key in rows[:4]})
    set_aside(night, {rows[4]: []}, stage="extract")
    dismiss(night.ledger, [2], "Kim", "spam")
    finish(night)
    later = make_night(external_ref="quarantine/x")
    begin_replay(later, Selection(Filter(numbers=(1, 4, 5)), read_anew=True), "Kim")
    given = {"stages": ["extract", "check"], "skip": {rows[0]}, "files": (), "not_tried": {rows[3]: "gone"}}
    for _ in range(2):
        with transaction(later.ledger) as connection:
            copy_entries(connection, later, night.run_id, **given)  # type: ignore[arg-type]
    mine = [row for row in states(night) if row[1] == "2"]
    assert mine == [
        (rows[1], "2", "dismissed", ["dismissed", "carried"]),
        (rows[2], "2", "open", ["carried"]),
        (rows[3], "2", "open", ["not_tried"]),
        (rows[4], "2", "open", ["begun", "carried"]),
    ]
    with later.ledger.connect() as connection:
        ended = connection.execute(text(f"SELECT row_id, outcome FROM outcome WHERE run_id = '{later.run_id}'")).all()
    assert list(map(tuple, ended)) == [(rows[4], "quarantined")]


def test_a_release_is_of_the_row_as_it_was(make_night: MakeNight) -> None:
    night, rows = make_night(), rows_of(2)
    set_aside(night, {key: [EMAIL] for key in rows})
    finish(night)
    later = make_night(external_ref="quarantine/x")
    release = Selection(Filter(expectation=EMAIL), release=(EMAIL, VIEWS), reason="fine")
    begin_replay(later, release, "Kim")
    of_night = (night.ledger, night.case.name, night.interval)
    assert find_released(*of_night) == dict.fromkeys(rows, frozenset({EMAIL, VIEWS}))
    set_aside(later, {rows[0]: ["other"]})
    finish(later)
    third = make_night(external_ref="quarantine/y")
    begin_replay(third, Selection(Filter(row_key=key_of(rows[0])), read_anew=True), "Kim")
    assert find_released(*of_night) == {rows[1]: frozenset({EMAIL, VIEWS})}


def test_rows_that_a_run_does_not_decide_on_are_left_alone(make_night: MakeNight) -> None:
    night, rows = make_night(), rows_of(2)
    set_aside(replace(night, only=frozenset(rows[:1])), {key: [EMAIL] for key in rows})
    assert [row[0] for row in states(night)] == rows[:1]


@pytest.fixture
def crowded(make_night: MakeNight, ledger: Ledger) -> Night:
    """A ledger with 200,000 entries of 200 nights, most of them settled long ago."""
    night = make_night()
    with ledger.owner.begin() as connection:
        connection.execute(text(_NIGHTS))
        connection.execute(text(_ENTRIES))
    with ledger.owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE quarantine"))
        connection.execute(text("ANALYZE quarantine_count"))
    return night


def test_no_query_of_a_page_reads_the_whole_quarantine(crowded: Night) -> None:
    case, start = crowded.case.name, datetime(2026, 3, 1, tzinfo=UTC)
    filters = [
        Filter(),
        Filter(status="open"),
        Filter(status="waiting"),
        Filter(use_case=case),
        Filter(use_case=case, status="open"),
        Filter(use_case=case, status="waiting"),
        Filter(use_case=case, start=start, end=start.replace(day=2)),
        Filter(owner="vendor", status="open"),
        Filter(owner="nobody"),
        Filter(expectation=VIEWS),
        Filter(expectation="rare"),
        Filter(expectation="absent", status="waiting"),
        Filter(use_case=case, expectation=EMAIL, owner="sales", status="open"),
        Filter(run_id=f"{case}-100"),
        Filter(row_key="12345"),
        Filter(numbers=(1, 99_999)),
        Filter(status="dismissed", use_case="other"),
    ]
    with crowded.ledger.connect() as connection:
        for chosen in filters:
            for after in (None, 100_000):
                few = count_by(crowded.ledger, chosen).rows <= 5_000
                assert "Seq Scan on quarantine" not in plan(connection, page_query(chosen, after, 50, few=few)), chosen
            assert "Seq Scan on quarantine " not in plan(connection, count_query(chosen)), chosen
        control = select(tables.quarantine.c.row_id).where(tables.quarantine.c.source == "anywhere")
        assert "Seq Scan on quarantine " in plan(connection, control)
    assert count_by(crowded.ledger, Filter()).rows == 200_000
    assert len(list_rows(crowded.ledger, Filter(expectation="rare"))) == 20


def plan(connection: Any, query: Any) -> str:
    """How PostgreSQL would run a query."""
    from sqlalchemy.dialects import postgresql

    compiled = query.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    return "\n".join(connection.scalars(text(f"EXPLAIN {str(compiled).replace(':', chr(92) + ':')}")))


_NIGHTS = """
INSERT INTO run (run_id, use_case, interval_start, interval_end, attempt, external_ref, mode, options, model,
       prompt_version, prompt_hash, contract_hash, code_version, git_sha, status)
SELECT r.use_case || '-' || n, r.use_case, timestamptz '2026-01-01 02:00Z' + n * interval '1 day',
       timestamptz '2026-01-02 02:00Z' + n * interval '1 day', 1, 'x', r.mode, r.options, r.model,
       r.prompt_version, r.prompt_hash, r.contract_hash, r.code_version, r.git_sha, 'succeeded'
  FROM run r, generate_series(1, 200) n"""

_ENTRIES = """
INSERT INTO quarantine (run_id, use_case, row_id, row_key, source, stage, reasons, record, counts_as_input, status,
       interval_start, interval_end, expectations, owner)
SELECT r.run_id, r.use_case, 'crm/contacts/' || n, n::text, 'crm: page', 'check', '{why}',
       jsonb_build_object('title', repeat(md5(n::text), 8)), true,
       CASE WHEN n % 40 = 0 THEN 'open' WHEN n % 1000 = 1 THEN 'fixed' WHEN n % 7 = 0 THEN 'dismissed'
            ELSE 'replayed' END, r.interval_start, r.interval_end,
       CASE WHEN n % 10000 = 17 THEN '{rare}' WHEN n % 3 = 0 THEN '{email_present}'
            ELSE '{page_views_range,other}' END::text[],
       CASE WHEN n % 5 = 0 THEN 'vendor' ELSE 'sales' END
  FROM generate_series(1, 200000) n
  JOIN run r ON r.attempt = 1 AND r.run_id = (SELECT min(use_case) FROM run) || '-' || (1 + n / 1000 % 200)"""
