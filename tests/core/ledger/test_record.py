"""Recording: runs, manifests, outcomes and quarantine are safe to write again."""

from __future__ import annotations

import json
import threading
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from include.database import copy_rows, merge_rows, open_database, send, to_json, transaction
from include.errors import LedgerUnavailable
from include.ledger import tables
from include.ledger.audit import (
    Answer,
    Intent,
    Pins,
    Result,
    find_answers,
    keep_answers,
    record_intents,
    record_results,
)
from include.ledger.record import (
    find_manifest,
    finished_snapshot,
    note_progress,
    quarantine,
    record_event,
)
from include.models import Origin, Outcome, RejectedRow, RunOptions
from include.personal import token_of
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import end_rows, reject_rows, rows_of, say, stage_raw


def test_a_starter_finds_its_unfinished_run_again(make_night: MakeNight, ledger: Ledger) -> None:
    first, again = make_night(external_ref="night-1"), make_night(external_ref="night-1")
    assert first.run_id == again.run_id
    with ledger.service.connect() as connection:
        said = select(tables.event.c.type).where(tables.event.c.stream == first.run_id)
        kinds = connection.scalars(said.order_by(tables.event.c.seq)).all()
    assert kinds == ["run.opened", "run.reopened"]


def test_another_starter_or_a_finished_run_gives_a_new_attempt(make_night: MakeNight, ledger: Ledger) -> None:
    first, other = make_night(external_ref="night-1"), make_night(external_ref="night-2")
    assert (first.run_id[-2:], other.run_id[-2:]) == ("-1", "-2")
    with ledger.service.begin() as connection:
        connection.execute(tables.run.update().values(status="succeeded"))
    assert make_night(external_ref="night-2").run_id.endswith("-3")


def test_events_continue_the_chain_of_their_stream(make_night: MakeNight, ledger: Ledger) -> None:
    night = make_night()
    say(night, "extract.completed", rows=1)
    say(night, "check.completed", rows=1)
    with ledger.service.connect() as connection:
        mine = select(tables.event).where(tables.event.c.stream == night.run_id)
        rows = connection.execute(mine.order_by(tables.event.c.seq)).all()
        head = connection.execute(select(tables.chain_head).where(tables.chain_head.c.stream == night.run_id)).one()
    assert [row.seq for row in rows] == [1, 2, 3]
    assert [row.prev_hash for row in rows] == ["", rows[0].hash, rows[1].hash]
    assert (head.seq, head.hash) == (3, rows[2].hash)


def test_an_event_of_an_unknown_type_is_refused(make_night: MakeNight) -> None:
    night = make_night()
    with transaction(night.ledger) as connection, pytest.raises(ValueError, match="not an event type"):
        record_event(connection, night.run_id, "run.exploded", {})


def test_a_later_manifest_replaces_the_earlier(make_night: MakeNight) -> None:
    night = make_night()
    stage_raw(night, rows_of(2))
    later = stage_raw(night, rows_of(5))
    assert find_manifest(night.ledger, night.run_id, "raw") == later
    assert find_manifest(night.ledger, night.run_id, "good") is None


def test_the_snapshot_of_a_date_is_that_of_its_last_success(make_night: MakeNight, ledger: Ledger) -> None:
    made = [make_night(external_ref=f"night-{at}") for at in range(3)]
    limited = make_night(external_ref="limited", options=RunOptions(limit=1))
    manifests = [stage_raw(night, rows_of(at + 1)) for at, night in enumerate([*made, limited])]
    case, interval = made[0].case.name, made[0].interval
    assert finished_snapshot(ledger.service, case, interval) is None
    with ledger.service.begin() as connection:
        succeeded = tables.run.c.run_id.in_([made[0].run_id, made[1].run_id, limited.run_id])
        connection.execute(tables.run.update().where(succeeded).values(status="succeeded"))
    assert finished_snapshot(ledger.service, case, interval) == manifests[1]


def test_a_row_has_one_outcome_the_last_one_said(make_night: MakeNight, ledger: Ledger) -> None:
    night = make_night()
    end_rows(night, dict.fromkeys(rows_of(3), Outcome.DEFERRED), stage="check")
    end_rows(night, {rows_of(1)[0]: Outcome.WRITTEN})
    with ledger.service.connect() as connection:
        query = select(tables.outcome.c.outcome, func.count()).group_by(tables.outcome.c.outcome)
        assert {row[0]: row[1] for row in connection.execute(query)} == {"written": 1, "deferred": 2}


def test_quarantine_hides_personal_values_and_counts_only_input_rows(make_night: MakeNight, ledger: Ledger) -> None:
    night = make_night()
    record = {"email": "ada@example.org", "job_title": "buyer", "first_name": None}
    row = RejectedRow("crm/1", "1", "crm: page 1", ("no company", "no country"), record)
    with transaction(night.ledger) as connection:
        quarantine(connection, night, "check", [row])
        quarantine(connection, night, "check", [row])
    reject_rows(night, "extract", {"file/7": "ragged line"}, counts_as_input=False)
    with ledger.service.connect() as connection:
        kept = connection.execute(select(tables.quarantine).order_by(tables.quarantine.c.row_id)).all()
        ended = connection.execute(select(tables.outcome.c.row_id, tables.outcome.c.reason)).all()
    assert [(q.row_id, q.reasons) for q in kept] == [
        ("crm/1", ["no company", "no country"]),
        ("file/7", ["ragged line"]),
    ]
    assert kept[0].record["email"].startswith("token:")
    assert kept[0].record["job_title"] == "buyer"
    assert [tuple(row) for row in ended] == [("crm/1", "no company")]


def test_progress_is_kept_by_stage(make_night: MakeNight, ledger: Ledger) -> None:
    night = make_night()
    note_progress(ledger.service, night.run_id, "extract", {"pages": 1})
    note_progress(ledger.service, night.run_id, "enrich", {"calls": 2})
    note_progress(ledger.service, night.run_id, "extract", {"pages": 9})
    with ledger.service.connect() as connection:
        assert connection.scalar(select(tables.run.c.progress)) == {"extract": {"pages": 9}, "enrich": {"calls": 2}}


def test_copied_rows_survive_every_odd_character(make_night: MakeNight, ledger: Ledger) -> None:
    night = make_night()
    odd = "tab\t newline\n backslash\\ quote' \u2028 \U0001f600 \\N"
    names = ("run_id", "row_id", "row_key", "outcome", "stage", "reason", "lineage")
    row = (night.run_id, "1", None, "written", "write", f"{odd}\x00\ud800", {"k": f"{odd}\x00"})
    with transaction(ledger.service) as connection:
        assert copy_rows(connection, tables.outcome, names, [row]) == 1
        kept = connection.execute(select(tables.outcome)).one()
    assert kept.row_key is None
    assert kept.reason == f"{odd}\ufffd?"
    assert kept.lineage == {"k": f"{odd}\ufffd"}


def test_merging_keeps_or_updates_what_is_there(make_night: MakeNight, ledger: Ledger) -> None:
    night = make_night()
    names = ("run_id", "row_id", "outcome", "stage")
    key = ("run_id", "row_id")
    with transaction(ledger.service) as connection:
        rows = [(night.run_id, "1", "written", "write")]
        assert merge_rows(connection, tables.outcome, names, rows, key=key) == 1
        changed = [(night.run_id, "1", "rejected", "gate"), (night.run_id, "2", "written", "write")]
        assert merge_rows(connection, tables.outcome, names, changed, key=key) == 1
        assert merge_rows(connection, tables.outcome, names, changed, key=key, update=["outcome"]) == 2
        query = text("SELECT outcome, stage FROM outcome ORDER BY row_id")
        assert [tuple(row) for row in connection.execute(query)] == [("rejected", "write"), ("written", "write")]


def test_an_unreachable_ledger_is_worth_a_retry() -> None:
    engine = open_database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(LedgerUnavailable, match="nightledger_db") as caught, transaction(engine):
        pass
    assert caught.value.verdict == "retry"


def test_json_has_no_numbers_that_json_lacks() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        to_json({"x": float("nan")})


def test_an_error_of_the_database_quotes_no_value_into_a_log(ledger: Ledger) -> None:
    statement = tables.event.insert().values(stream=None, type="t", actor="a", details={"email": "ada@example.com"})
    with pytest.raises(IntegrityError) as caught, ledger.service.begin() as connection:
        connection.execute(statement)
    assert "hidden" in str(caught.value)
    assert "[parameters" not in str(caught.value).replace("[SQL parameters hidden", "")


def test_answers_are_kept_with_tokens_but_for_the_fields_that_are_there_to_hold_personal_values(
    make_night: MakeNight,
) -> None:
    night, said = make_night(answers_personal=("contact",)), "ask ada@leak.example"
    output = {"contact": "ada@leak.example", "summary": said, "score": 7}
    uid, pins = uuid4(), Pins("v1", "f" * 64, "sandbox-small", {}, "c" * 64)
    result = Result(
        *(uid, "ok", said, 200, "m", "r", said, output, 1, 1, 0, Decimal(0), "2026-01-01", 1, 1),
    )
    with transaction(night.ledger) as connection:
        record_intents(
            connection, night, pins, [Intent(uid, "r", "k", "key", [{"content": said}], "ask", 1, 1, Decimal(0))]
        )
        send(connection, [record_results(night, [result])])
        send(connection, [keep_answers(night, pins, [Answer("ruled", output, Origin.RULE)])])
        found = connection.execute(
            text("SELECT messages, detail, raw_text, parsed FROM inference JOIN inference_result USING (inference_id)")
        ).one()
    hidden = f"ask {token_of('ada@leak.example', night.settings.token_secret)}"
    kept = {"contact": "ada@leak.example", "summary": hidden, "score": 7}
    assert tuple(found) == ([{"content": hidden}], hidden, hidden, kept)
    answers = find_answers(night.ledger, night, ["key", "ruled"])
    assert [answers[key].output for key in ("key", "ruled")] == [kept, kept]


@pytest.mark.parametrize(
    ("raw", "hidden"),
    [
        ('{"a": "call ada@leak.example"}', True),
        ('{"a": "call ada\\u0040leak.example"}', True),
        ('{"a": {"ada\\u0040leak.example": 1}}', True),
        ('{"password": "correct horse"}', True),
        ('{"local": "ada", "host": "leak.example"}', True),
        ('thoughts\n{"a": "ask Ada, number 7"}', False),
    ],
)
def test_an_answer_is_looked_through_wherever_its_words_may_not_say_it_as_it_is(
    make_night: MakeNight, raw: str, hidden: bool
) -> None:
    night, uid = make_night(), uuid4()
    parsed = json.loads(raw[raw.index("{") :])
    if "local" in parsed:
        parsed["whole"] = f"{parsed['local']}@{parsed['host']}"
    given = (uid, "ok", None, 200, "m", "r", raw, parsed, 1, 2, 0, Decimal(0), "2026-01-01", 3, 4)
    with transaction(night.ledger) as connection:
        send(connection, [record_results(night, [Result(*given)])])
        found = connection.scalar(text("SELECT said(parsed, raw_text) FROM inference_result"))
    assert (found != parsed, "token:" in str(found)) == (hidden, hidden)


AWKWARD = "50 % of %s, :name, $1, 'quoted' \"twice\", \\, \\\\u0000, \\u0000, ü, 日本, \n\t, '; SELECT 1"


def test_what_came_back_is_on_record_as_it_came(make_night: MakeNight) -> None:
    night, uid = make_night(), uuid4()
    pins, said = Pins("v1", "f" * 64, "sandbox-small", {}, "c" * 64), f"{AWKWARD} \x00 \ud800"
    given = (uid, "ok", None, 200, "m", "r", said, {"a": said}, 1, 2, 0, Decimal("0.000123"), "2026-01-01", 3, 4)
    with transaction(night.ledger) as connection:
        intent = Intent(uid, "r", "k", "key", [{"content": said}], "ask", 1, 1, Decimal("0.001"))
        record_intents(connection, night, pins, [intent])
        send(connection, [record_results(night, [Result(*given)])])
        columns = "messages, raw_text, parsed, cost, http_status, detail, tokens_out"
        query = text(f"SELECT {columns} FROM inference JOIN inference_result USING (inference_id)")
        found = connection.execute(query).one()
    kept = f"{AWKWARD} \ufffd ?"
    assert tuple(found) == ([{"content": kept}], kept, {"a": kept}, Decimal("0.000123"), 200, None, 2)


def test_many_that_begin_in_the_first_moment_of_a_month_share_its_partition(ledger: Ledger) -> None:
    failed: list[Exception] = []
    months = [f"2031-{month:02}-01" for month in range(1, 13)]
    together = threading.Barrier(6)

    def begin() -> None:
        engine = open_database(ledger.urls.service)
        for month in months:
            together.wait()
            try:
                with engine.begin() as connection:
                    connection.execute(text(f"SELECT nightledger.ensure_inference_month('{month}')"))
            except Exception as error:
                failed.append(error)
        engine.dispose()

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with ledger.owner.connect() as connection:
        made = connection.scalar(text("SELECT count(*) FROM pg_class WHERE relname LIKE 'inference\\_2031__'"))
    assert made == len(months)
