"""A large dataset is split over tasks, each resumable alone, and nothing is lost between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from include.errors import ConfigurationError, CountsDoNotAddUp
from include.models import Manifest
from include.night.enrich.enrich import enrich
from include.night.shards import LARGE_RUN, MOST_SHARDS, merge, require_asking, shard_name, split
from include.run import Night
from include.staging import part_of, read_rows
from tests.core.conftest import Ledger
from tests.core.night.enrich.test_enrich import (
    LEADS,
    PROMPT,
    connection_to,
    count,
    every_row_ended_once,
    lead,
    rows,
    serving,
    stage,
)
from tests.core.test_whole_night import Sandbox


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with serving(tmp_path_factory.mktemp("sandbox"), latency=1) as sandbox:
        yield sandbox


@pytest.fixture
def night(make_night: Callable[..., Night], sandbox: Sandbox) -> Night:
    """A night whose rows are split by 30, and read 7 at a time."""
    given = {"connections": connection_to(sandbox), "prompt": PROMPT, "settings": {"chunk_rows": 7}}
    return make_night(**given, shard_rows=30)


def test_parts_hold_every_row_once_and_in_order(night: Night) -> None:
    good = stage(night)
    parts = split(night, good)
    assert [part_of(part) for part in parts] == [(0, 26), (26, 27), (53, 27)]
    together = [row["row_id"] for part in parts for row in read_rows(part, rows=7)]
    assert together == [row["row_id"] for row in read_rows(good)]


def test_a_small_dataset_is_one_part(night: Night) -> None:
    good = stage(night, [lead(1), lead(2)])
    assert split(night, good) == [good]
    assert split(night, stage(night, []))[0].rows == 0


def test_there_are_never_more_than_two_hundred_parts(night: Night) -> None:
    good = replace(stage(night), rows=10_000_000)
    batch = replace(night, case=replace(night.case, asking="batch"))
    parts = split(batch, good)
    assert len(parts) == MOST_SHARDS
    assert sum(part_of(part)[1] for part in parts) == 10_000_000


def test_shards_together_are_the_whole_night(night: Night, sandbox: Sandbox, ledger: Ledger) -> None:
    sandbox.fail("model", refusal=0.1)
    good = stage(night)
    parts = [enrich(night, part) for part in split(night, good)]
    assert [part.dataset for part in parts] == ["enriched-000", "enriched-001", "enriched-002"]
    whole = merge(night, good, parts)
    every_row_ended_once(ledger, night, whole)
    assert (whole.facts["shards"], whole.facts["answered_rows"]) == (3, whole.rows)
    assert whole.facts["dead_letter"] == LEADS - whole.rows == count(ledger, "dead_letter")
    assert rows(ledger, "SELECT count(*) FROM manifest WHERE dataset LIKE 'enriched%'") == [(4,)]


def test_a_shard_that_is_run_again_pays_nothing(night: Night, sandbox: Sandbox) -> None:
    parts = split(night, stage(night))
    first = enrich(night, parts[1])
    again = enrich(night, parts[1])
    assert (again.rows, again.sha256 != "") == (first.rows, True)
    assert sandbox.billed()["billed_calls"] == first.rows


@pytest.mark.parametrize("lost", ["a part", "a row"])
def test_what_is_missing_is_noticed(night: Night, lost: str) -> None:
    good = stage(night)
    parts = [enrich(night, part) for part in split(night, good)]
    broken: list[Manifest] = parts[:2]
    if lost == "a row":
        facts = {**parts[2].facts, "answered_rows": parts[2].facts["answered_rows"] - 1}
        broken = [*parts[:2], replace(parts[2], facts=facts)]
    with pytest.raises(CountsDoNotAddUp, match=f"{LEADS} rows went to 3 tasks"):
        merge(night, good, broken)


def test_a_single_part_is_the_night(night: Night) -> None:
    good = stage(night, [lead(1), lead(2)])
    part = enrich(night, good)
    assert shard_name(good) == part.dataset == "enriched"
    assert merge(night, good, [part]) == part


def test_a_large_run_says_why_it_asks_live(night: Night) -> None:
    require_asking(night, LARGE_RUN + 1)  # its spec says why
    silent = replace(night, case=replace(night.case, why_not_batch=None))
    require_asking(silent, LARGE_RUN)
    with pytest.raises(ConfigurationError, match="asks live without saying why"):
        require_asking(silent, LARGE_RUN + 1)
    require_asking(replace(silent, case=replace(silent.case, asking="batch")), LARGE_RUN + 1)
