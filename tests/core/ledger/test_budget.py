"""Ceilings hold whoever spends, however many at once, and whatever dies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy.exc import DBAPIError

from include.ledger.budget import ceilings, exhausted, open_budgets, reserve, settle, spent
from include.ledger.database import open_engine, transaction
from include.models import RunOptions
from include.night import Night
from include.systems import read_systems
from include.use_case import Budgets
from tests.core.conftest import Ledger

ONE = Decimal("1.00")


def test_sixty_four_at_once_spend_no_more_than_one_and_nearly_all_of_it(ledger: Ledger) -> None:
    scopes = open_budgets(ledger.service, {"run/a": ONE, "day/a/2026-11-20": ONE})
    paid, lock = list[Decimal](), threading.Lock()

    def spend() -> None:
        engine = open_engine(ledger.urls.service)
        most, cost = Decimal("0.013"), Decimal("0.007")
        while True:
            with transaction(engine) as connection:
                if not reserve(connection, scopes, [most]):
                    break
            with transaction(engine) as connection:
                settle(connection, scopes, most, cost)
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
        engine = open_engine(ledger.urls.service)
        try:
            for _ in range(60):
                with transaction(engine) as connection:
                    reserve(connection, order, [ONE])
                    settle(connection, order, ONE, ONE)
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


def test_what_a_crash_left_reserved_stays_counted_and_a_raised_ceiling_is_at_once_in_force(ledger: Ledger) -> None:
    scopes = open_budgets(ledger.service, {"run/a": ONE})
    with transaction(ledger.service) as connection:
        assert reserve(connection, scopes, [ONE]) == 1
    open_budgets(ledger.service, {"run/a": ONE})
    with transaction(ledger.service) as connection:
        assert reserve(connection, scopes, [Decimal("0.01")]) == 0
    open_budgets(ledger.service, {"run/a": Decimal(2)})
    with transaction(ledger.service) as connection:
        assert reserve(connection, scopes, [ONE]) == 1


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
