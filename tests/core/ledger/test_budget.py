"""Ceilings hold whoever spends, however many at once, and whatever dies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from include.database import open_database, send, transaction
from include.errors import ConfigurationError
from include.ledger.budget import (
    Correction,
    ceiling_of,
    ceilings,
    correct,
    exhausted,
    open_budgets,
    open_for,
    reserve,
    settle,
    spent,
)
from include.ledger.verify import verify
from include.models import RunOptions
from include.run import Night
from include.spec.use_case import Budgets
from include.systems.registry import read_systems
from tests.core.conftest import Ledger

ONE = Decimal("1.00")


def test_sixty_four_at_once_spend_no_more_than_one_and_nearly_all_of_it(ledger: Ledger) -> None:
    scopes = open_budgets(ledger.service, {"run/a": ONE, "day/a/2026-11-20": ONE})
    paid, lock = list[Decimal](), threading.Lock()

    def spend() -> None:
        engine = open_database(ledger.urls.service)
        most, cost = Decimal("0.013"), Decimal("0.007")
        while True:
            with transaction(engine) as connection:
                if not reserve(connection, scopes, [most]):
                    break
            with transaction(engine) as connection:
                send(connection, [settle(scopes, most, cost)])
            with lock:
                paid.append(cost)
        engine.dispose()

    threads = [threading.Thread(target=spend) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Decimal("0.9") < sum(paid) <= ONE
    assert spent(ledger.service, "run/a") == spent(ledger.service, "day/a/2026-11-20") == (sum(paid), 0)


def test_a_group_is_taken_as_far_as_it_fits(ledger: Ledger) -> None:
    scopes = open_budgets(ledger.service, {"run/a": Decimal("0.05"), "month/a": ONE})
    with transaction(ledger.service) as connection:
        assert reserve(connection, scopes, [Decimal("0.02")] * 5) == 2
        assert reserve(connection, scopes, [Decimal("0.01")]) == 1
        assert reserve(connection, scopes, [Decimal("0.01")]) == 0
    assert spent(ledger.service, "month/a") == (0, Decimal("0.05"))
    assert exhausted(ledger.service, scopes) == "the budget run/a of 0.05 USD is used up"


def test_scopes_in_any_order_never_wait_in_a_ring(ledger: Ledger) -> None:
    scopes = open_budgets(ledger.service, {name: Decimal(1000) for name in ("a", "b", "c", "d")})
    failed = list[BaseException]()

    def spend(order: list[str]) -> None:
        engine = open_database(ledger.urls.service)
        try:
            for _ in range(60):
                with transaction(engine) as connection:
                    reserve(connection, order, [ONE])
                    send(connection, [settle(order, ONE, ONE)])
        except BaseException as error:
            failed.append(error)
        engine.dispose()

    orders = [scopes, scopes[::-1], scopes[2:] + scopes[:2]] * 3
    threads = [threading.Thread(target=spend, args=[order]) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert spent(ledger.service, "a") == (540, 0)


def test_what_a_crash_left_reserved_stays_counted(ledger: Ledger) -> None:
    scopes = open_budgets(ledger.service, {"run/a": ONE})
    with transaction(ledger.service) as connection:
        assert reserve(connection, scopes, [ONE]) == 1
    open_budgets(ledger.service, {"run/a": ONE})
    with transaction(ledger.service) as connection:
        assert reserve(connection, scopes, [Decimal("0.01")]) == 0


def test_a_process_with_another_registry_lowers_a_ceiling_at_once_and_never_raises_it(ledger: Ledger) -> None:
    scopes = open_budgets(ledger.service, {"key/model/2026-11": ONE})
    open_budgets(ledger.service, {"key/model/2026-11": Decimal(2)})
    with transaction(ledger.service) as connection:
        assert reserve(connection, scopes, [ONE, Decimal("0.01")]) == 1
    open_budgets(ledger.service, {"key/model/2026-11": Decimal("0.40")})
    assert exhausted(ledger.service, scopes) == "the budget key/model/2026-11 of 0.40 USD is used up"


def test_a_correction_is_at_once_in_force_and_on_the_chain(ledger: Ledger) -> None:
    scopes = open_budgets(ledger.service, {"run/a": ONE})
    with transaction(ledger.service) as connection:
        reserve(connection, scopes, [ONE])
        send(connection, [settle(scopes, Decimal(0), Decimal("12000"))])
    change = Correction(spent=Decimal("0.02"), ceiling=Decimal(2), why="the endpoint told 2e9 tokens")
    correct(ledger.service, "run/a", change, "ada")
    assert spent(ledger.service, "run/a") == (Decimal("0.02"), ONE)
    with transaction(ledger.service) as connection:
        assert reserve(connection, scopes, [Decimal("0.98"), Decimal("0.01")]) == 1
        said = connection.execute(text("SELECT actor, details FROM event WHERE type = 'budget.corrected'")).one()
    assert (said.actor, said.details["scope"], said.details["why"]) == ("ada", "run/a", "the endpoint told 2e9 tokens")
    assert said.details["before"] == {"ceiling": 1.00, "spent": 12000, "reserved": 1.00}
    assert said.details["after"] == {"ceiling": 2, "spent": 0.02, "reserved": 1.00}
    assert said.details["login"] == "nightledger_service"
    assert verify(ledger.owner).holds


def test_what_was_corrected_while_calls_were_out_is_never_given_back_twice(ledger: Ledger) -> None:
    scopes = open_budgets(ledger.service, {"run/a": ONE})
    with transaction(ledger.service) as connection:
        reserve(connection, scopes, [ONE])
    correct(ledger.service, "run/a", Correction(reserved=Decimal(0), why="all processes are gone"), "ada")
    with transaction(ledger.service) as connection:
        send(connection, [settle(scopes, ONE, Decimal("0.5"))])
    assert spent(ledger.service, "run/a") == (Decimal("0.5"), 0)


@pytest.mark.parametrize(
    ("scope", "change", "problem"),
    [
        ("run/none", Correction(spent=ONE, why="x"), "no such budget is open"),
        ("run/a", Correction(spent=ONE, why=" "), "needs a reason"),
        ("run/a", Correction(spent=-ONE, why="x"), "at least 0 USD"),
        ("run/a", Correction(why="x"), "at least 0 USD"),
    ],
)
def test_a_correction_that_says_nothing_is_refused(
    ledger: Ledger, scope: str, change: Correction, problem: str
) -> None:
    open_budgets(ledger.service, {"run/a": ONE})
    with pytest.raises(ConfigurationError, match=problem):
        correct(ledger.service, scope, change, "ada")
    assert spent(ledger.service, "run/a") == (0, 0)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE budget SET ceiling = 1000",
        "UPDATE budget SET spent = 0",
        "INSERT INTO budget (scope, ceiling) VALUES ('x', 9)",
    ],
)
def test_the_service_changes_no_budget_past_its_functions(ledger: Ledger, statement: str) -> None:
    with ledger.service.connect() as connection, pytest.raises(ProgrammingError, match="permission denied"):
        connection.execute(text(statement))


def test_a_backfill_named_with_more_money_has_it_and_that_is_on_record(
    ledger: Ledger, make_night: Callable[..., Night]
) -> None:
    def start(usd: int | None, ref: str) -> None:
        night = make_night(
            options=RunOptions(backfill="november", backfill_budget_usd=None if usd is None else Decimal(usd)),
            budgets=Budgets(backfill=Decimal(60)),
            external_ref=ref,
        )
        open_for(night, read_systems(night.settings.systems_file)["model"])

    scope = "backfill/crm_lead_scoring/november"
    for usd, then in ((5, 5), (None, 5), (9, 9), (7, 7)):
        start(usd, f"{usd}")
        assert ceiling_of(ledger.service, scope) == then
    with transaction(ledger.service) as connection:
        whys = list(connection.scalars(text("SELECT details ->> 'why' FROM event WHERE type = 'budget.corrected'")))
    assert len(whys) == 1
    assert whys[0].startswith("named when crm_lead_scoring-")


def test_a_wrong_clock_spends_from_todays_ceiling(
    make_night: Callable[..., Night], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Wrong:
            return cls(2031, 5, 17, tzinfo=tz)

    monkeypatch.setattr("include.ledger.budget.datetime", Wrong)
    night = make_night()
    scopes = ceilings(night, read_systems(night.settings.systems_file)["model"])
    with ledger.owner.connect() as connection:
        today = connection.scalar(text("SELECT to_char(now(), 'YYYY-MM-DD')"))
    assert f"day/crm_lead_scoring/{today}" in scopes
    assert [scope for scope in scopes if "2031" in scope] == []


def test_money_is_never_set_aside_under_a_budget_that_is_not_open(ledger: Ledger) -> None:
    with pytest.raises(DBAPIError, match="a budget is not open"), transaction(ledger.service) as connection:
        reserve(connection, ["run/unknown"], [ONE])


def test_a_run_counts_against_every_ceiling_that_is_declared(make_night: Callable[..., Night]) -> None:
    budgets = Budgets(day=Decimal(20), month=None, backfill=Decimal(60))
    night = make_night(budgets=budgets, options=RunOptions(backfill="november"))
    system = replace(read_systems(night.settings.systems_file)["model"], budget_usd_per_day=50.0)
    assert ceilings(night, system, datetime(2026, 11, 21, 3, tzinfo=UTC)) == {
        f"run/{night.run_id}": Decimal("5.00"),
        "day/crm_lead_scoring/2026-11-21": Decimal(20),
        "key/model/2026-11-21": Decimal("50.0"),
        "key/model/2026-11": Decimal("500"),
        "backfill/crm_lead_scoring/november": Decimal(60),
    }
