"""Money is exact, dated, and never guessed."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from include.errors import ConfigurationError
from include.night.enrich.prices import assume_price, find_price
from include.systems.registry import read_systems

ROOT = Path(__file__).resolve().parents[4]


def test_cached_tokens_cost_less_and_nothing_is_rounded() -> None:
    price = find_price("sandbox-small")
    assert price.cost(1000, 100) == Decimal("0.00021")
    assert price.cost(1000, 100, tokens_cached=1000) == Decimal("0.000135")


def test_a_snapshot_takes_the_price_of_its_model() -> None:
    assert find_price("gpt-4.1-mini-2025-04-14").input == Decimal("0.40")


def test_a_model_without_price_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cost could not be bounded"):
        find_price("unheard-of")


def test_a_price_of_the_future_is_not_used() -> None:
    with pytest.raises(ConfigurationError):
        find_price("sandbox-small", date(2020, 1, 1))


def test_every_model_of_the_registry_has_a_price() -> None:
    models = read_systems(ROOT / "include" / "systems.toml")["model"].context_tokens
    assert models
    for model in models:
        assert find_price(model).source


def test_an_unknown_model_counts_at_the_dearest_price_and_says_so() -> None:
    price = assume_price("unheard-of")
    assert price.assumed
    assert price.model == "unheard-of"
    assert price.cost(1000, 0) >= find_price("sandbox-large").cost(1000, 0)
    assert not assume_price("sandbox-small").assumed


def test_more_cached_tokens_than_tokens_never_make_a_negative_cost() -> None:
    assert find_price("sandbox-small").cost(10, 0, tokens_cached=1000) >= 0


def test_a_batch_costs_the_share_that_the_table_says_and_a_half_without(tmp_path: Path) -> None:
    half = find_price("sandbox-small").batched()
    assert (half.cost(1_000_000, 0), half.dated) == (Decimal("0.075"), "2026-01-01 batch")
    table = tmp_path / "prices.toml"
    entry = 'model = "m"\ndated = "2026-01-01"\ninput = "1"\ncached_input = "1"\noutput = "2"\nsource = "s"\n'
    table.write_text(f'[[price]]\n{entry}batch_share = "0.75"\n', encoding="utf-8")
    assert find_price("m", table=table).batched().cost(1_000_000, 1_000_000) == Decimal("2.25")
