"""The queue of dead letters by itself: chosen, taken, concluded, dismissed, overtaken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from include.database import transaction
from include.errors import ConfigurationError
from include.ledger import tables
from include.ledger.carrying import carry_over, is_finished
from include.ledger.causes import CAUSES
from include.ledger.closing import close_run
from include.ledger.dead_letters import (
    Replayed,
    Selection,
    begin_replay,
    dismiss,
    end_replay,
    list_groups,
    nights_to_replay,
    run_of,
    settle,
    show,
)
from include.ledger.record import DeadLetter, bury
from include.ledger.verify import verify
from include.models import Mode, Outcome, Record, ReInfer, RunOptions
from include.run import Night
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import end_rows, key_of, rows_of

CASE = "crm_lead_scoring"


def die(night: Night, causes: Mapping[str, str], stage: str = "enrich", system: str = "model", tries: int = 3) -> None:
    record = {"email": "anna@example.org", "job_title": "buyer"}
    letters = [
        DeadLetter(row, key_of(row), cause, "in detail", f"key-{row}", {"page": 1}, record, tries)
        for row, cause in causes.items()
    ]
    with transaction(night.ledger) as connection:
        bury(connection, night, stage, letters, system=system)


def again(night: Night, **options: Any) -> Night:
    """A later run of the same night, as it stands before its stages."""
    with transaction(night.ledger) as connection:
        close_run(connection, night.run_id, "succeeded", {}, rows_in=0)
    chosen = replace(night.options, **options)
    made = replace(night, options=chosen, run_id=f"{night.run_id}-again")
    run = tables.run
    with transaction(night.ledger) as connection:
        row = dict(connection.execute(select(run).where(run.c.run_id == night.run_id)).mappings().one())
        row |= {"run_id": made.run_id, "attempt": row["attempt"] + 1, "status": "running", "finished_at": None}
        connection.execute(run.insert().values(row))
    return made


def letters(night: Night) -> list[tuple[str, str, str]]:
    """Row, run and status of every letter, in order."""
    d = tables.dead_letter.c
    with transaction(night.ledger) as connection:
        query = select(d.row_id, d.run_id, d.status).order_by(d.row_id, d.run_id)
        return [(row_id, run_id, status) for row_id, run_id, status in connection.execute(query)]


def statuses(night: Night) -> list[str]:
    return [status for _, _, status in letters(night)]


def history(night: Night) -> list[Record]:
    d = tables.dead_letter.c
    with transaction(night.ledger) as connection:
        return [entry for entries in connection.scalars(select(d.replays).order_by(d.row_id)) for entry in entries]


def events(ledger: Ledger) -> list[tuple[str, str, Record]]:
    e = tables.event.c
    query = select(e.type, e.actor, e.details).where(e.stream == f"dead_letters/{CASE}").order_by(e.seq)
    with ledger.service.connect() as connection:
        return [(kind, actor, dict(details)) for kind, actor, details in connection.execute(query)]


def test_letters_are_listed_by_night_stage_cause_and_system_with_their_oldest(
    make_night: MakeNight, ledger: Ledger
) -> None:
    first, second, rows = make_night(), make_night(day=1), rows_of(4)
    die(first, {rows[0]: "refused", rows[1]: "refused", rows[2]: "empty_output"})
    die(first, {rows[3]: "record_missing"}, "write", "crm")
    die(second, {rows[0]: "refused"})
    found = list_groups(ledger.service, Selection())
    assert [(g.interval, g.stage, g.cause, g.system, g.rows) for g in found] == [
        (first.interval, "enrich", "empty_output", "model", 1),
        (first.interval, "enrich", "refused", "model", 2),
        (first.interval, "write", "record_missing", "crm", 1),
        (second.interval, "enrich", "refused", "model", 1),
    ]
    with ledger.service.connect() as connection:
        times = select(func.min(tables.dead_letter.c.recorded_at)).where(tables.dead_letter.c.cause == "refused")
        assert found[1].oldest == connection.scalar(times)


def test_a_row_that_died_in_two_runs_counts_once(make_night: MakeNight, ledger: Ledger) -> None:
    night, (row,) = make_night(), rows_of(1)
    die(night, {row: "refused"})
    die(again(night, re_infer=ReInfer.FAILED), {row: "refused"})
    assert [group.rows for group in list_groups(ledger.service, Selection())] == [1]


@pytest.mark.parametrize(
    ("chosen", "count"),
    [
        ({"cause": "refused"}, 2),
        ({"system": "crm"}, 1),
        ({"stage": "enrich"}, 3),
        ({"use_case": "another"}, 0),
        ({"cause": "refused", "system": "crm"}, 0),
    ],
)
def test_every_filter_that_is_given_must_match(
    make_night: MakeNight, ledger: Ledger, chosen: dict[str, Any], count: int
) -> None:
    night, rows = make_night(), rows_of(4)
    die(night, {rows[0]: "refused", rows[1]: "refused", rows[2]: "empty_output"})
    die(night, {rows[3]: "record_missing"}, "write", "crm")
    assert sum(group.rows for group in list_groups(ledger.service, Selection(**chosen))) == count


def test_times_choose_nights_by_their_start_and_the_end_is_not_in(make_night: MakeNight, ledger: Ledger) -> None:
    nights = [make_night(day=day) for day in range(3)]
    for night in nights:
        die(night, {rows_of(1)[0]: "refused"})
    start = nights[1].interval.start
    assert [g.interval for g in list_groups(ledger.service, Selection(start=start))] == [n.interval for n in nights[1:]]
    assert nights_to_replay(ledger.service, Selection(end=start), [CASE]) == [(CASE, nights[0].interval)]
    only = Selection(start=start, end=start + timedelta(seconds=1))
    assert nights_to_replay(ledger.service, only, [CASE]) == [(CASE, nights[1].interval)]
    assert nights_to_replay(ledger.service, only, ["another"]) == []


def test_a_cause_that_does_not_exist_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(ConfigurationError, match="model_unavailable"):
        Selection(cause="model_down")
    assert all(Selection(cause=cause).cause == cause for cause in CAUSES)


def test_a_letter_shows_the_whole_record_with_tokens_for_personal_values(make_night: MakeNight, ledger: Ledger) -> None:
    night, (row,) = make_night(), rows_of(1)
    die(night, {row: "refused"})
    with ledger.service.connect() as connection:
        number = connection.scalar(select(tables.dead_letter.c.dead_letter_id))
    assert number is not None
    letter = show(ledger.service, number)
    assert letter["record"]["job_title"] == "buyer"
    assert letter["record"]["email"].startswith("token:")
    assert "anna" not in str(letter)
    assert (letter["cause"], letter["tries"], letter["system"]) == ("refused", 3, "model")
    with pytest.raises(ConfigurationError, match="no such dead letter"):
        show(ledger.service, number + 1)


def test_a_replay_takes_the_chosen_letters_only_and_says_who_took_them(make_night: MakeNight, ledger: Ledger) -> None:
    night, rows = make_night(), rows_of(3)
    die(night, {rows[0]: "refused", rows[1]: "refused", rows[2]: "empty_output"})
    later = again(night)
    assert begin_replay(later, Selection(cause="refused"), "Kim") == {rows[0], rows[1]}
    assert statuses(night) == ["replayed", "replayed", "open"]
    assert {(entry["state"], entry["by"], entry["run_id"]) for entry in history(night)} == {
        ("begun", "Kim", later.run_id)
    }
    ((kind, actor, said),) = events(ledger)
    assert (kind, actor, said["rows"], said["selection"]) == ("dead_letter.replayed", "Kim", 2, {"cause": "refused"})
    assert verify(ledger.owner).holds


def test_what_was_begun_and_did_not_end_is_open_and_is_taken_up(make_night: MakeNight, ledger: Ledger) -> None:
    night, rows = make_night(), rows_of(2)
    die(night, {rows[0]: "refused", rows[1]: "empty_output"})
    begin_replay(again(night), Selection(cause="refused"), "killed")
    assert sum(group.rows for group in list_groups(ledger.service, Selection())) == 2
    assert list_groups(ledger.service, Selection(), "replayed") == []
    assert nights_to_replay(ledger.service, Selection(cause="refused"), [CASE]) == [(CASE, night.interval)]
    third = again(replace(night, run_id=f"{night.run_id}-again"))
    assert begin_replay(third, Selection(cause="empty_output"), "Kim") == set(rows)


def test_an_ended_replay_leaves_nothing_to_replay(make_night: MakeNight, ledger: Ledger) -> None:
    night, rows = make_night(), rows_of(2)
    die(night, dict.fromkeys(rows, "refused"))
    later = again(night)
    begin_replay(later, Selection(), "Kim")
    end_rows(later, dict.fromkeys(rows, Outcome.WRITTEN))
    assert end_replay(later, "Kim") == Replayed(rows=2, died_again=0, left_open=0)
    assert nights_to_replay(ledger.service, Selection(), [CASE]) == []
    assert run_of(ledger.service, Selection(), CASE, night.interval) is None
    assert [group.rows for group in list_groups(ledger.service, Selection(), "replayed")] == [2]
    assert [said["state"] for _, _, said in events(ledger)] == ["begun", "done"]


def test_a_row_that_died_again_has_a_new_letter_which_a_resumed_replay_leaves_alone(
    make_night: MakeNight, ledger: Ledger
) -> None:
    night, rows = make_night(), rows_of(2)
    die(night, dict.fromkeys(rows, "refused"))
    later = again(night)
    begin_replay(later, Selection(), "killed")
    die(later, {rows[0]: "refused"})
    assert begin_replay(later, Selection(), "Kim") == set(rows)
    assert letters(night)[1] == (rows[0], later.run_id, "open")
    end_rows(later, {rows[1]: Outcome.WRITTEN})
    assert end_replay(later, "Kim") == Replayed(rows=2, died_again=1, left_open=0)
    assert [run for _, run, status in letters(night) if status == "open"] == [later.run_id]


@pytest.mark.parametrize("outcome", [Outcome.DEFERRED, None])
def test_a_row_that_the_replay_did_not_try_is_open_again(
    make_night: MakeNight, ledger: Ledger, outcome: Outcome | None
) -> None:
    night, (row,) = make_night(), rows_of(1)
    die(night, {row: "refused"})
    later = again(night)
    begin_replay(later, Selection(), "Kim")
    end_rows(later, {row: outcome} if outcome else {})
    assert end_replay(later, "Kim") == Replayed(rows=1, died_again=0, left_open=1)
    assert statuses(night) == ["open"]
    assert [entry["state"] for entry in history(night)] == ["begun", "not_tried"]


def test_the_options_are_those_of_the_run_the_letters_came_from(make_night: MakeNight, ledger: Ledger) -> None:
    night, rows = make_night(options=RunOptions(mode=Mode.AUTO)), rows_of(2)
    die(night, {rows[0]: "refused"})
    with transaction(night.ledger) as connection:
        close_run(connection, night.run_id, "succeeded", {}, rows_in=0)
    make_night(options=RunOptions(mode=Mode.SHADOW), external_ref="someone else")
    found = run_of(ledger.service, Selection(), CASE, night.interval)
    assert found is not None
    assert (found[0], found[1]["mode"]) == (night.run_id, "auto")


def test_dismissed_letters_keep_the_reason_and_the_person(make_night: MakeNight, ledger: Ledger) -> None:
    night, rows = make_night(), rows_of(2)
    die(night, {rows[0]: "refused", rows[1]: "empty_output"})
    assert dismiss(ledger.service, Selection(cause="refused"), "Kim", "spam") == 1
    assert dismiss(ledger.service, Selection(cause="refused"), "Kim", "spam") == 0
    assert statuses(night) == ["dismissed", "open"]
    ((entry,), ((kind, actor, said),)) = (history(night), events(ledger))
    assert (entry["state"], entry["by"], entry["reason"]) == ("dismissed", "Kim", "spam")
    assert (kind, actor, said["reason"], said["letters"]) == ("dead_letter.dismissed", "Kim", "spam", 1)
    assert begin_replay(again(night), Selection(), "Kim") == {rows[1]}


def test_nobody_dismisses_everything_by_leaving_the_filters_out(make_night: MakeNight, ledger: Ledger) -> None:
    night = make_night()
    die(night, {rows_of(1)[0]: "refused"})
    with pytest.raises(ConfigurationError, match="at least one filter"):
        dismiss(ledger.service, Selection(), "Kim", "tired")
    assert statuses(night) == ["open"]


@pytest.mark.parametrize(
    ("stage", "outcome", "status"),
    [
        ("enrich", Outcome.SHADOWED, "replayed"),
        ("enrich", Outcome.DEFERRED, "open"),
        ("enrich", Outcome.QUARANTINED, "open"),
        ("write", Outcome.SHADOWED, "open"),
        ("write", Outcome.UNCHANGED, "replayed"),
    ],
)
def test_a_letter_is_overtaken_once_a_later_run_did_what_had_failed(
    make_night: MakeNight, stage: str, outcome: Outcome, status: str
) -> None:
    night, (row,) = make_night(), rows_of(1)
    die(night, {row: "refused" if stage == "enrich" else "record_missing"}, stage)
    later = again(night)
    end_rows(later, {row: outcome})
    with transaction(later.ledger) as connection:
        settle(connection, later)
    assert statuses(night) == [status]
    assert [entry["run_id"] for entry in history(night)] == ([later.run_id] if status == "replayed" else [])


def test_of_two_letters_for_one_row_the_newer_stays_open(make_night: MakeNight) -> None:
    night, (row,) = make_night(), rows_of(1)
    die(night, {row: "refused"})
    later = again(night, re_infer=ReInfer.FAILED)
    die(later, {row: "invalid_output"})
    with transaction(later.ledger) as connection:
        settle(connection, later)
    assert letters(night) == [(row, night.run_id, "replayed"), (row, later.run_id, "open")]


def test_a_row_that_was_not_tried_again_keeps_the_letter_it_has(make_night: MakeNight) -> None:
    night, rows = make_night(), rows_of(2)
    die(night, {rows[0]: "refused"})
    later = again(night)
    die(later, dict.fromkeys(rows, "refused"), tries=0)
    assert letters(night) == [(rows[0], night.run_id, "open"), (rows[1], later.run_id, "open")]
    o = tables.outcome.c
    with transaction(night.ledger) as connection:
        ended = select(o.row_id).where(o.run_id == later.run_id, o.outcome == "dead_letter").order_by(o.row_id)
        assert connection.scalars(ended).all() == sorted(rows)


def test_rows_carried_over_end_as_before_and_what_was_written_is_unchanged(make_night: MakeNight) -> None:
    night, rows = make_night(), rows_of(4)
    end_rows(night, {rows[0]: Outcome.WRITTEN, rows[1]: Outcome.IN_REVIEW, rows[2]: Outcome.DEAD_LETTER})
    assert not is_finished(night.ledger, night.run_id)
    later = again(night)
    assert is_finished(night.ledger, night.run_id)
    end_rows(later, {rows[2]: Outcome.WRITTEN})
    for _ in range(2):
        assert carry_over(night.ledger, night.run_id, later.run_id, rows) == set(rows[:3])
    o = tables.outcome.c
    with transaction(night.ledger) as connection:
        query = select(o.row_id, o.outcome, o.reason).where(o.run_id == later.run_id).order_by(o.row_id)
        found = [tuple(row) for row in connection.execute(query)]
    assert found == [
        (rows[0], "unchanged", f"written by {night.run_id}"),
        (rows[1], "in_review", None),
        (rows[2], "written", None),
    ]
