"""Which dependencies rows suggest: on one column, on two, by sources; slips are told from what is right twice."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pyarrow as pa

from include.operations.suggest.dependencies import Dependency, dependencies
from include.operations.suggest.seen import Column, Seen


def seen(**columns: Sequence[str | None]) -> Seen:
    made = [Column(name, "text", pa.array(values, pa.string())) for name, values in columns.items()]
    rows = len(made[0].values)
    return Seen("t.csv", made, pa.array(range(2, rows + 2)), rows)


def found(given: Seen, of: str) -> list[tuple[list[str], bool]]:
    return [([column.name for column in one.on], one.strong) for one in dependencies(given)[of]]


def only(given: Seen, of: str) -> Dependency:
    [one] = dependencies(given)[of]
    return one


def test_slips_in_large_groups_are_conflicts_even_where_they_are_many() -> None:
    on = [f"z{at % 20}" for at in range(400)]
    of = [f"c{at % 20}" if at % 8 else f"slip {at}" for at in range(400)]
    assert found(seen(zip=on, city=of), "city") == [(["zip"], True)]
    twice = [f"c{at % 20}" if at % 8 else f"other {at % 20}" for at in range(400)]
    assert found(seen(zip=on, city=twice), "city") == []


def test_conflicts_in_few_groups_are_no_slips() -> None:
    chance = random.Random(1)
    on = [f"z{at % 20}" for at in range(2000)]
    of = [f"c{at % 20}" if at % 20 or chance.random() < 0.65 else f"d{chance.randrange(40)}" for at in range(2000)]
    assert found(seen(zip=on, city=of), "city") == []


def test_two_columns_together_are_found_where_neither_alone_says_it() -> None:
    chance = random.Random(2)
    known = {(a, b): f"t{chance.randrange(1000)}" for a in range(8) for b in range(12)}
    pairs = [(chance.randrange(8), chance.randrange(12)) for _ in range(2000)]
    tariff = [known[pair] if chance.random() < 0.97 else f"t{chance.randrange(1000)}" for pair in pairs]
    given = seen(carrier=[f"c{a}" for a, _ in pairs], zone=[f"z{b}" for _, b in pairs], tariff=tariff)
    assert found(given, "tariff") == [(["carrier", "zone"], True)]
    assert only(given, "tariff").wrong.sum() == sum(
        told != known[pair] for told, pair in zip(tariff, pairs, strict=True)
    )
    at_once = [(at % 20, at // 20 % 20) for at in range(1600)]
    small = seen(a=[f"a{a}" for a, _ in at_once], b=[f"b{b}" for _, b in at_once], c=[f"c{a * b}" for a, b in at_once])
    assert found(small, "c") == []


def told_by_sources(right: float, prices: bool = False, second: bool = False) -> Seen:
    chance = random.Random(3)
    source, flight, time = list[str](), list[str](), list[str | None]()
    for thing in range(40):
        for one in range(20):
            source.append(f"www{one}")
            flight.append(f"F{thing}")
            other = f"{thing}:{chance.randrange(60)}" if not second else f"{thing}:99"
            truth = chance.random() < right and not prices
            time.append(f"{thing}:00" if truth else None if chance.random() < 0.2 and not second else other)
    return seen(source=source, flight=flight, time=time)


def test_what_most_sources_tell_counts_though_many_differ() -> None:
    given = told_by_sources(0.5)
    one = only(given, "time")
    assert ([column.name for column in one.on], one.told, one.missing, one.strong) == (["flight"], "source", True, True)
    assert not any(
        one.wrong[at] for at, time in enumerate(given.columns[2].values.to_pylist()) if time and ":00" in time
    )
    assert one.wrong.mean() > 0.4


def test_what_each_source_has_for_itself_or_two_halves_say_is_no_dependency() -> None:
    assert found(told_by_sources(0.5, prices=True), "time") == []
    assert found(told_by_sources(0.6, second=True), "time") == []


def test_columns_in_which_a_source_tells_twice_are_no_sources() -> None:
    once = told_by_sources(0.5)
    twice = seen(**{one.name: one.values.to_pylist() * 2 for one in once.columns})
    assert found(twice, "time") == []


def test_a_few_groups_say_nothing_of_rows_that_share_nothing() -> None:
    pairs, groups = [f"p{at // 2}" for at in range(300)], [f"g{at % 10}" for at in range(100)]
    given = seen(on=[*pairs, *groups], of=[*(f"v{at}" for at in range(300)), *(f"w{at % 10}" for at in range(100))])
    assert found(given, "of") == []


def test_what_is_next_to_always_the_same_depends_on_nothing() -> None:
    on = [f"z{at % 20}" for at in range(800)]
    assert found(seen(zip=on, city=["same" if at % 20 else f"slip {at}" for at in range(800)]), "city") == []


def test_where_a_quarter_differs_or_groups_are_small_it_is_no_slip() -> None:
    on = [f"z{at % 20}" for at in range(800)]
    assert found(seen(zip=on, city=[f"c{at % 20}" if at % 4 else f"slip {at}" for at in range(800)]), "city") == []
    on = [f"z{at // 4}" for at in range(800)]
    assert found(seen(zip=on, city=[f"c{at // 4}" if at % 7 else f"slip {at}" for at in range(800)]), "city") == []


def test_the_same_other_value_in_a_tenth_of_a_group_is_right_too() -> None:
    on = [f"z{at % 20}" for at in range(800)]
    of = [f"d{at % 20}" if at % 20 < 10 and at // 20 % 8 == 0 else f"c{at % 20}" for at in range(800)]
    assert found(seen(zip=on, city=of), "city") == []


def test_a_measure_decides_nothing() -> None:
    given = Column("price", "number", pa.array([(at % 40) / 8 for at in range(400)], pa.float64()))
    other = Column("shop", "text", pa.array([f"s{at % 40}" for at in range(400)]))
    assert found(Seen("t.csv", [given, other], pa.array(range(400)), 400), "shop") == []


def test_missing_values_are_in_conflict_where_all_that_is_there_agrees() -> None:
    on = [f"z{at % 20}" for at in range(800)]
    some = [f"c{at % 20}" if at // 20 % 4 else None for at in range(800)]
    one = only(seen(zip=on, city=some), "city")
    assert (one.missing, one.strong, int(one.wrong.sum())) == (True, True, 200)
    few = only(seen(zip=on, city=[f"c{at % 20}" if at // 20 % 5 > 1 else None for at in range(800)]), "city")
    assert (few.missing, int(few.wrong.sum())) == (False, 0)


def test_slips_are_there_once_in_a_group() -> None:
    of = [f"d{at % 20}" if at // 20 < 2 else f"c{at % 20}" for at in range(400)]
    assert found(seen(zip=[f"z{at % 20}" for at in range(400)], city=of), "city") == []


def test_missing_values_are_in_no_conflict_where_little_agrees() -> None:
    of = [None if at % 9 == 0 else f"c{at // 4}" if at % 16 else f"slip {at}" for at in range(800)]
    one = only(seen(zip=[f"z{at // 4}" for at in range(800)], city=of), "city")
    assert (one.missing, one.strong) == (False, False)
