"""What a night is expected to ask and cost, held against what it then does on PostgreSQL and the stand-in model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.database import send
from include.errors import ConfigurationError
from include.ledger import budget
from include.models import Interval, Mode, Record, ReInfer, RunOptions
from include.night.enrich.enrich import enrich
from include.night.plan.preview import Preview, announce, as_record, preview
from include.night.plan.preview_capacity import Load, find_minutes, merge, name_limit
from include.operations.plan_nights import Room, add_up, cut, find_rooms
from include.run import Night
from include.settings import ROOT
from include.systems.registry import System, Window, read_systems
from tests.core.conftest import Ledger
from tests.core.night.enrich.test_enrich import LEADS, PROMPT, connection_to, lead, rows, serving, stage
from tests.core.test_whole_night import Sandbox

NightOf = Callable[..., Night]


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with serving(tmp_path_factory.mktemp("sandbox"), latency=1) as sandbox:
        yield sandbox


@pytest.fixture
def night_of(sandbox: Sandbox, make_night: Callable[..., Night], monkeypatch: pytest.MonkeyPatch) -> NightOf:
    monkeypatch.setattr("include.night.enrich.dispatch.wait_seconds", lambda *args, **more: 0.01)

    def make(ref: str = "cli", mode: Mode = Mode.SHADOW, *, options: Record | None = None, **parts: Any) -> Night:
        given = {"connections": connection_to(sandbox), "prompt": PROMPT, **parts}
        return make_night(external_ref=ref, options=RunOptions(mode=mode, **(options or {})), **given)

    return make


def leads(first: int, last: int, **changes: Any) -> list[Record]:
    return [lead(number, **changes) for number in range(first, last)]


def paid(ledger: Ledger, night: Night) -> tuple[int, Decimal]:
    query = "SELECT count(*), coalesce(sum(cost), 0) FROM inference_result WHERE run_id = :run"
    calls, cost = rows(ledger, query, run=night.run_id)[0]
    return calls, cost


def error(expected: Preview, cost: Decimal) -> Decimal:
    return abs(expected.cost / cost - 1)


def test_an_empty_ledger_is_enough_to_be_right_within_a_fifth(night_of: NightOf, ledger: Ledger) -> None:
    night = night_of()
    good = stage(night)
    expected = preview(night, good)
    enrich(night, good)
    calls, cost = paid(ledger, night)
    assert (expected.rows, expected.asked, expected.calls) == (LEADS, LEADS, calls)
    assert error(expected, cost) < Decimal("0.2")
    assert preview(night, good) == replace(
        expected, reused=LEADS, asked=0, calls=0, tokens_in=0, tokens_out=0, cost=Decimal(0), loads=_idle(expected)
    )


def _idle(expected: Preview) -> tuple[Load, ...]:
    return tuple(replace(one, requests=0, tokens=0) if one.stage == "ask" else one for one in expected.loads)


def test_what_questions_took_before_sharpens_the_estimate(night_of: NightOf, ledger: Ledger) -> None:
    first, second = night_of(), night_of(day=1)
    enrich(first, stage(first, leads(0, 30)))
    good = stage(second, leads(100, 200))
    expected = preview(second, good)
    enrich(second, good)
    assert error(expected, paid(ledger, second)[1]) < Decimal("0.03")


def test_calls_that_are_repeated_are_expected_again(night_of: NightOf, sandbox: Sandbox, ledger: Ledger) -> None:
    sandbox.fail("model", prose=0.2, http_503=0.2)
    first, second = night_of(), night_of(day=1)
    enrich(first, stage(first, leads(0, 150)))
    calls, _ = paid(ledger, first)
    assert calls > 180
    good = stage(second, leads(200, 400))
    expected = preview(second, good)
    enrich(second, good)
    calls, cost = paid(ledger, second)
    assert expected.calls == pytest.approx(calls, rel=0.2)
    assert error(expected, cost) < Decimal("0.1")  # a call that failed has cost nothing


def test_a_handful_of_questions_teaches_nothing(night_of: NightOf, sandbox: Sandbox) -> None:
    first, second = night_of(), night_of(day=1)
    good = stage(second, leads(100, 200))
    before = preview(second, good)
    sandbox.fail("model", prose=1.0)
    enrich(first, stage(first, leads(0, 3)))
    assert preview(second, good) == before


@pytest.mark.parametrize("other", ["contract", "model"])
def test_questions_of_another_contract_or_model_teach_nothing(night_of: NightOf, ledger: Ledger, other: str) -> None:
    first = night_of()
    enrich(first, stage(first, leads(0, 40)))
    if other == "contract":
        night = night_of(day=1, model_sees=first.case.model_sees[::-1])
    else:
        night = night_of(day=1, options={"model": "sandbox-large"})
    good = stage(night, leads(100, 140))
    knowing = preview(night, good)
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("UPDATE nightledger.run SET use_case = 'another'")
    assert preview(night, good) == knowing


def test_rows_that_look_the_same_are_asked_once_also_on_another_date(night_of: NightOf, ledger: Ledger) -> None:
    same = {"company_name": "Works", "job_title": "Buyer", "employees": 5, "page_views": 5, "last_activity_days": 7}
    today, tomorrow = night_of(), night_of(day=1)
    first, second = stage(today, leads(0, 10, **same) + leads(10, 20)), stage(tomorrow, leads(5, 25, **same))
    seen = set[bytes]()
    expected = [preview(today, first, seen), preview(tomorrow, second, seen)]
    assert [(one.asked, one.identical, one.reused) for one in expected] == [(11, 9, 0), (0, 20, 0)]
    enrich(today, first)
    enrich(tomorrow, second)
    assert paid(ledger, today)[0] + paid(ledger, tomorrow)[0] == sum(one.calls for one in expected)
    assert preview(tomorrow, second).reused == 20


def test_asked_again_means_asked_on_every_date(night_of: NightOf, ledger: Ledger) -> None:
    nights = [night_of(day=day, options={"re_infer": ReInfer.ALL}) for day in (0, 1)]
    staged, seen = [stage(night, leads(0, 25)) for night in nights], set[bytes]()
    expected = [preview(night, good, seen) for night, good in zip(nights, staged, strict=True)]
    for night, good in zip(nights, staged, strict=True):
        enrich(night, good)
    assert [one.calls for one in expected] == [paid(ledger, night)[0] for night in nights] == [25, 25]


def test_rows_that_would_not_be_asked_are_not_paid_for(night_of: NightOf, sandbox: Sandbox, ledger: Ledger) -> None:
    night = night_of()
    blank = dict.fromkeys(night.case.model_sees)
    huge = {"technologies": "x" * 80_000}
    good = stage(night, [lead(1), lead(2, **blank), lead(3, **huge), lead(4)])
    expected = preview(night, good)
    assert (expected.rows, expected.asked, expected.dead) == (4, 2, 2)
    sandbox.fail("model", refusal=1.0)
    enrich(night, good)
    assert paid(ledger, night)[0] == expected.calls
    again = night_of("again")
    assert (preview(again, stage(again, [lead(1), lead(4)]))).dead == 2
    retried = night_of("retried", options={"re_infer": ReInfer.FAILED})
    assert (preview(retried, stage(retried, [lead(1), lead(4)]))).asked == 2


def test_a_batch_costs_half_and_takes_as_long_as_promised(night_of: NightOf) -> None:
    live, batch = night_of(), night_of("batch", options={"asking": "batch"})
    one, other = preview(live, stage(live)), preview(batch, stage(batch))
    assert other.cost == one.cost / 2
    assert (other.tokens_in, other.minutes["model ask"]) == (one.tokens_in, 24 * 60)


def test_only_mode_auto_counts_writes(night_of: NightOf) -> None:
    found = {mode: preview(night, stage(night)) for mode in Mode for night in [night_of(mode.value, mode)]}
    writes = {mode: one.loads[-1].requests for mode, one in found.items()}
    assert writes == {Mode.SHADOW: 0, Mode.GATED: 0, Mode.AUTO: 2}


def test_a_night_announces_itself_on_record_and_says_no_row(night_of: NightOf, ledger: Ledger) -> None:
    night = night_of()
    expected = announce(night, stage(night))
    (said,) = rows(ledger, "SELECT details FROM event WHERE type = 'enrich.planned'")
    assert said[0] == as_record(expected)
    assert (said[0]["asked"], Decimal(said[0]["cost_usd"])) == (LEADS, round(expected.cost, 6))
    assert "Works" not in str(said)


def test_a_night_that_cannot_fit_is_refused_with_the_limit_named(night_of: NightOf, tmp_path: Path) -> None:
    slow = slower(tmp_path, "requests = 3000, tokens = 2000000, per_seconds = 60", "requests = 5, per_seconds = 3600")
    night = night_of(settings={"systems_file": slow})
    with pytest.raises(
        ConfigurationError, match=r"900 minutes at the limits, mostly `model ask` \(5 requests in 3,600 s"
    ):
        announce(night, stage(night))
    batch = night_of("batch", settings={"systems_file": slow}, options={"asking": "batch"})
    assert announce(batch, stage(batch)).asked == LEADS


def slower(folder: Path, old: str, new: str) -> Path:
    registry = (ROOT / "include" / "systems.toml").read_text(encoding="utf-8")
    assert old in registry
    file = folder / "systems.toml"
    file.write_text(registry.replace(old, new), encoding="utf-8")
    return file


# Time at the limits


def system(*limits: Window, **more: Any) -> System:
    crm = read_systems(ROOT / "include" / "systems.toml")["crm"]
    return replace(crm, name="crm", limits=limits, **more)


@pytest.mark.parametrize(
    ("window", "requests", "tokens", "seconds"),
    [
        (Window(10, requests=100), 100, 0, 0),
        (Window(10, requests=100), 101, 0, 10),
        (Window(10, requests=100), 301, 0, 30),
        (Window(86_400, requests=1_000), 2_500, 0, 2 * 86_400),
        (Window(60, requests=300, refills=True), 300, 0, 0),
        (Window(60, requests=300, refills=True), 500, 0, 40),
        (Window(60, tokens=1_000, refills=True), 5, 4_000, 180),
        (Window(60, requests=10, tokens=1_000, refills=True), 20, 1_500, 60),
    ],
)
def test_a_limit_lets_so_much_through(window: Window, requests: int, tokens: int, seconds: float) -> None:
    found = find_minutes([Load("ask", system(window), requests, tokens)])
    assert found == {"crm ask": pytest.approx(seconds / 60)}


def test_the_slowest_limit_counts_and_is_named() -> None:
    load = Load("ask", system(Window(10, requests=100), Window(86_400, requests=250)), 300)
    assert find_minutes([load]) == {"crm ask": 1_440}
    assert name_limit(load) == "250 requests in 86,400 s"
    assert name_limit(replace(load, requests=200)) == "100 requests in 10 s"
    assert name_limit(Load("ask", system(), 300)) == "no limit"


def test_reading_and_writing_share_the_limits_of_a_system() -> None:
    crm = system(Window(86_400, requests=250))
    assert find_minutes([Load("read", crm, 200), Load("write", crm, 200)]) == {"crm read": 0, "crm write": 1_440}


def test_nights_that_fit_one_by_one_need_not_fit_together() -> None:
    one = Preview(asked=200, cost=Decimal("0.1"), loads=(Load("ask", system(Window(60, requests=250)), 200),))
    together = add_up([one] * 5)
    assert (one.minutes["crm ask"], together.minutes["crm ask"]) == (0, 3)
    assert (together.asked, together.cost) == (1_000, Decimal("0.5"))
    assert merge([]) == ()


def test_a_full_queue_makes_batches_follow_each_other() -> None:
    load = Load("ask", system(batch_queue_tokens=1_000), 10, 2_500, batched=True)
    assert find_minutes([load]) == {"crm ask": 3 * 24 * 60}
    assert find_minutes([replace(load, tokens=0)]) == {"crm ask": 0}
    assert find_minutes([replace(load, system=system())]) == {"crm ask": 24 * 60}


# Ceilings


def test_every_ceiling_is_held_against_what_is_spent_already(night_of: NightOf) -> None:
    night = night_of()
    nights = [Preview(cost=Decimal(2)), Preview(cost=Decimal(4))]
    model = night.system("model")
    scopes = budget.open_budgets(night.ledger, budget.ceilings(night, model))
    day = next(scope for scope in scopes if scope.startswith("day/"))
    with night.ledger.begin() as connection:
        budget.reserve(connection, [day], [Decimal(3)])
        send(connection, [budget.settle([day], Decimal(1), Decimal("12.5"))])
    rooms = {room.scope.partition("/")[0]: room for room in find_rooms(night, nights)}
    assert (rooms["run"].expected, rooms["run"].is_kept) == (4, True)
    assert (rooms["day"].used, rooms["day"].expected, rooms["day"].is_kept) == (Decimal("14.5"), 6, False)
    assert (rooms["backfill"].ceiling, rooms["backfill"].is_kept) == (night.case.budgets.backfill, True)
    assert "backfill" not in {room.scope.partition("/")[0] for room in find_rooms(night, nights[:1])}


def test_a_plan_that_costs_nothing_passes_no_ceiling() -> None:
    assert Room("day/x", Decimal(1), Decimal(2), Decimal(0)).is_kept
    assert not Room("day/x", Decimal(1), Decimal("0.5"), Decimal("0.6")).is_kept


def test_intervals_are_cut_from_the_start_and_the_last_is_shorter() -> None:
    whole = Interval.parse("2026-11-17T02:00", "2026-11-19T14:00")
    assert [str(night) for night in cut(whole, 24)] == [
        "[2026-11-17 02:00, 2026-11-18 02:00) UTC",
        "[2026-11-18 02:00, 2026-11-19 02:00) UTC",
        "[2026-11-19 02:00, 2026-11-19 14:00) UTC",
    ]
