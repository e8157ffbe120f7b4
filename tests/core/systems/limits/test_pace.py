"""Processes that share a key: all of each limit is used and none is overrun, in virtual time and through the ledger."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from include.database import open_database
from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.demo.sandbox.windows import SlidingWindow
from include.errors import ConfigurationError, LedgerUnavailable, SystemUnavailable
from include.settings import ROOT
from include.systems.connections import HttpEndpoint
from include.systems.http import RestClient
from include.systems.limits.pace import ALL, Pace, ProcessLevels, limits_of
from include.systems.limits.quota import Quota
from include.systems.limits.shared import LedgerLevels
from include.systems.limits.turns import Ask
from include.systems.registry import System, Window, read_systems
from tests.core.conftest import Ledger
from tests.core.systems.limits.virtual_processes import World

SEARCH = "search"


def crm() -> System:
    return read_systems(ROOT / "include" / "systems.toml")["crm"]


class Vendor:
    """Counts calls when they arrive: 100 in any 10 s, and 5 searches in any second."""

    def __init__(self, world: World, latency: float) -> None:
        self.world, self.latency, self.chance = world, latency, random.Random(7)
        self.calls, self.searches = SlidingWindow(100, 10.0), SlidingWindow(5, 1.0)
        self.taken, self.refused, self.turns = list[tuple[float, str]](), 0, 0

    def call(self, kind: str) -> bool:
        self._travel()
        free = self.calls.remaining(self.world.now) > 0 and (not kind or self.searches.remaining(self.world.now) > 0)
        if free:
            self.calls.take(self.world.now)
            if kind:
                self.searches.take(self.world.now)
            self.taken.append((self.world.now, kind))
        self.refused += not free
        self._travel()
        return free

    def _travel(self) -> None:
        self.world.sleep(self.latency / 2 * self.chance.uniform(0.7, 1.3))


class SlowLevels(ProcessLevels):
    """Levels that are reached and left by a trip, in seconds."""

    def __init__(self, world: World, trip: float) -> None:
        super().__init__(limits_of(crm()), world.clock)
        self.world, self.trip, self.turns = world, trip, 0

    @contextmanager
    def open(self, groups: Sequence[str]) -> Iterator[tuple[Mapping[str, Quota], float]]:
        self.turns += 1
        self.world.sleep(self.trip)
        with super().open(groups) as found:
            yield found
        self.world.sleep(self.trip)


def compete(processes: int, kinds: list[str], seconds: float, latency: float = 0.05, trip: float = 0.0) -> Vendor:
    """Let processes call as fast as they may for so long; a turn takes two trips."""
    world = World()
    vendor, levels = Vendor(world, latency), SlowLevels(world, trip)
    end = world.now + seconds

    def process(kind: str) -> Callable[[], None]:
        def work() -> None:
            pace = Pace(crm(), levels, sleep=world.sleep, clock=world.clock)
            while world.now < end:
                leave = pace.take(kind)
                vendor.call(kind)
                pace.end(leave, {})

        return work

    world.run(*(process(kinds[at % len(kinds)]) for at in range(processes)))
    vendor.taken, vendor.turns = [each for each in vendor.taken if each[0] < end], levels.turns
    return vendor


@pytest.mark.parametrize("processes", [1, 4, 20])
def test_processes_together_use_all_of_the_search_limit_and_are_never_refused(processes: int) -> None:
    vendor = compete(processes, [SEARCH], 30)
    assert vendor.refused == 0
    assert len(vendor.taken) >= 0.95 * 5 * 30


@pytest.mark.parametrize("processes", [1, 4, 20])
def test_the_time_of_a_turn_is_not_lost_to_the_search_limit(processes: int) -> None:
    vendor = compete(processes, [SEARCH], 30, trip=0.03)
    assert vendor.refused == 0
    assert len(vendor.taken) >= 0.9 * 5 * 30


@pytest.mark.parametrize(("processes", "kinds"), [(1, [ALL]), (4, [ALL]), (20, [ALL, SEARCH])])
def test_processes_together_use_all_of_the_key_and_are_never_refused(processes: int, kinds: list[str]) -> None:
    vendor = compete(processes, kinds, 30)
    assert vendor.refused == 0
    assert len(vendor.taken) >= 0.95 * 300


def test_without_a_common_place_for_their_levels_the_same_processes_overrun_the_key() -> None:
    world = World()
    vendor = Vendor(world, 0.05)

    def work() -> None:
        pace = Pace(crm(), sleep=world.sleep, clock=world.clock)
        for _ in range(40):
            leave = pace.take()
            vendor.call(ALL)
            pace.end(leave, {})

    world.run(*[work] * 4)
    assert vendor.refused > 0


def test_a_call_that_was_held_up_is_counted_when_it_may_have_arrived() -> None:
    world = World()
    levels = ProcessLevels(limits_of(crm()), world.clock)
    pace, moments = Pace(crm(), levels, sleep=world.sleep, clock=world.clock), list[float]()

    def held_up() -> None:
        for latency in (0.1, 0.1, 0.1, 0.8):
            leave = pace.take(SEARCH)
            world.sleep(latency)
            pace.end(leave, {})
        arrived = world.now - 0.1
        for _ in range(5):
            pace.end(pace.take(SEARCH), {})
            moments.append(world.now - arrived)

    world.run(held_up)
    assert sum(moment < 1.0 for moment in moments) == 4


def test_a_refusal_stops_everybody_for_as_long_as_the_vendor_says() -> None:
    world = World()
    levels = ProcessLevels(limits_of(crm()), world.clock)
    one, other = (Pace(crm(), levels, sleep=world.sleep, clock=world.clock) for _ in range(2))
    sent: list[float] = []

    def refused() -> None:
        one.end(one.take(), {})
        leave = one.take()
        one.refuse(ALL, 7.0)
        one.end(leave, {})
        one.end(one.take(), {})

    def waiting() -> None:
        world.sleep(0.1)
        other.end(other.take(), {})
        sent.append(world.now - 1_000)

    world.run(refused, waiting)
    assert 7.0 <= sent[0] <= 7.3


def test_leave_that_was_not_used_is_given_back() -> None:
    quota = Quota([Window(1, 5)])
    assert quota.turn(Ask("one", waiting=[1] * 5, late=0.05, heard=True), 10.0).granted == 5
    assert quota.turn(Ask("two", waiting=[1], heard=True), 10.02).granted == 0
    assert quota.turn(Ask("one", moved=[(10.05, None)], heard=True), 10.1).granted == 0
    assert quota.turn(Ask("two", waiting=[1] * 3, heard=True), 10.2).granted == 1
    assert quota.counted(quota.windows[0], 10.2) == 5


def test_leave_for_a_later_moment_takes_no_place_of_what_counts_until_then() -> None:
    quota = Quota([Window(1, 5)])
    assert quota.turn(Ask("one", waiting=[1] * 2, heard=True), 10.0).granted == 2
    assert quota.turn(Ask("one", waiting=[1] * 3), 10.5).granted == 3
    full = quota.turn(Ask("one", waiting=[1]), 10.9)
    assert full.granted == 0
    assert quota.turn(Ask("one", waiting=[1]), 10.9 + full.wait).granted == 1
    between = quota.turn(Ask("two", waiting=[1]), 10.95)
    assert between.granted == 0
    assert quota.turn(Ask("two", waiting=[1] * 2), 10.95 + between.wait).granted == 1


def test_a_day_that_is_used_up_is_not_waited_out() -> None:
    world = World()
    system = System(**{**{name: getattr(crm(), name) for name in System.__slots__}, "limits": (Window(86_400, 3),)})
    pace = Pace(system, sleep=world.sleep, clock=world.clock)

    def work() -> None:
        for _ in range(4):
            pace.end(pace.take(), {})

    with pytest.raises(SystemUnavailable, match=r"crm: the limits of its key leave no room for 14.. minutes"):
        world.run(work)


def test_limits_of_a_kind_of_call_are_read_from_the_registry_and_checked(tmp_path: Any) -> None:
    assert crm().call_limits == {SEARCH: (Window(1, 5),)}
    text = (ROOT / "include" / "systems.toml").read_text().replace("requests = 5, per", "requests = 0, per")
    (tmp_path / "systems.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"\[crm\].*requests"):
        read_systems(tmp_path / "systems.toml")


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """A CRM that enforces the vendor's limits."""
    state = tmp_path_factory.mktemp("strict")
    anchor = datetime(2026, 11, 20, 2, tzinfo=UTC)
    config = SandboxConfig(state, anchor=anchor, leads_per_day=12, days=1, crm_search_per_second=5)
    with running_sandbox(config) as endpoints:
        yield endpoints


def client(strict: Endpoints, levels: LedgerLevels, sessions: int) -> RestClient:
    def endpoint() -> HttpEndpoint:
        session = requests.Session()
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {strict.crm_token}"
        return HttpEndpoint(session, strict.crm_url)

    more = [endpoint() for _ in range(sessions - 1)]
    return RestClient(endpoint(), crm(), more=more, pace=Pace(crm(), levels))


def test_clients_on_one_ledger_are_never_refused_by_a_strict_vendor(strict: Endpoints, ledger: Ledger) -> None:
    engines = [open_database(ledger.urls.service) for _ in range(4)]
    clients = [client(strict, LedgerLevels(engine, "crm", limits_of(crm())), 2) for engine in engines]
    body = {"limit": 1, "properties": ["email"]}

    def search(at: int) -> None:
        clients[at % 4].call("POST", "/crm/v3/objects/contacts/search", body, kind=SEARCH)

    def read(at: int) -> None:
        clients[at % 4].call("GET", "/crm/v3/objects/contacts?limit=1")

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(search if at % 4 == 0 else read, at) for at in range(40)]
        for call in calls:
            call.result()
    seen = requests.get(f"{strict.crm_url}/sandbox/crm/requests", timeout=5).json()
    assert seen["status"] == {"200": 40}
    assert sum(one.retries for one in clients) == 0
    with ledger.owner.connect() as connection:
        keys = connection.exec_driver_sql("SELECT key FROM nightledger.quota ORDER BY key").scalars().all()
    assert keys == ["crm", "crm/search"]
    for engine in engines:
        engine.dispose()


def test_the_time_of_levels_is_that_at_which_they_are_had(ledger: Ledger) -> None:
    one, other = (LedgerLevels(ledger.service, "crm", limits_of(crm())) for _ in range(2))
    waits, got = threading.Event(), list[float]()

    def wait() -> None:
        waits.set()
        with other.open([SEARCH, ALL]) as (_, now):
            got.append(now)

    with one.open([ALL]):
        pass
    with ThreadPoolExecutor(1) as pool:
        with one.open([SEARCH]) as (quotas, began):
            waiting = pool.submit(wait)
            waits.wait()
            time.sleep(0.3)
            assert not waiting.done()
            assert quotas[SEARCH].turn(Ask("one", waiting=[1] * 5, heard=True), began).granted == 5
        waiting.result()
    assert got[0] >= began + 0.3
    with other.open([SEARCH, ALL]) as (quotas, _):
        assert [quotas[group].counted(limits_of(crm())[group][0], began) for group in (SEARCH, ALL)] == [5, 0]


def test_no_call_leaves_without_the_ledger(strict: Endpoints) -> None:
    engine = open_database("postgresql+psycopg://nobody@127.0.0.1:9/none")
    one = client(strict, LedgerLevels(engine, "crm", limits_of(crm())), 1)
    with pytest.raises(LedgerUnavailable):
        one.call("GET", "/crm/v3/objects/contacts?limit=1")


def test_a_client_has_as_many_calls_in_the_air_as_sessions_and_threads_wait_for_leave_together() -> None:
    system = crm()
    pace, moments, lock = Pace(system), list[float](), threading.Lock()

    def one(_: int) -> None:
        leave = pace.take(SEARCH)
        with lock:
            moments.append(leave.sent)
        pace.end(leave, {})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(12)))
    assert len(moments) == 12
    for moment in moments:
        assert sum(moment <= other < moment + 1.0 for other in moments) <= 5
