"""What a call costs, from the dated price table in this folder."""

from __future__ import annotations

import logging
import tomllib
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from include.errors import ConfigurationError

log = logging.getLogger(__name__)
_MILLION = Decimal(1_000_000)
_AMOUNTS = ("input", "cached_input", "output")
_TABLE = Path(__file__).with_name("prices.toml")
_BATCH_SHARE = Decimal("0.5")
"""What a call through the batch API costs of the price of a live one, where the table says nothing else:
https://platform.openai.com/docs/guides/batch"""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens of one model from one day on; `assumed` if the table does not know the model."""

    model: str
    dated: str
    input: Decimal
    cached_input: Decimal
    output: Decimal
    source: str
    assumed: bool = False
    batch_share: Decimal = _BATCH_SHARE

    def batched(self) -> Price:
        """The price through the batch API, and named so."""
        amounts = {name: getattr(self, name) * self.batch_share for name in _AMOUNTS}
        return replace(self, dated=f"{self.dated} batch", **amounts)

    def cost(self, tokens_in: int, tokens_out: int, tokens_cached: int = 0) -> Decimal:
        """US dollars for one call; `tokens_cached` are those of `tokens_in` that the provider had cached."""
        fresh = max(tokens_in - tokens_cached, 0)
        return (fresh * self.input + tokens_cached * self.cached_input + tokens_out * self.output) / _MILLION


def find_price(model: str, day: date | None = None, table: Path = _TABLE) -> Price:
    """The price of a model on a day (default today, UTC); raises ConfigurationError if the table has none.

    A dated snapshot such as `gpt-4.1-mini-2025-04-14` takes the price of the model it is a snapshot of.
    """
    day = day or datetime.now(UTC).date()
    entries = tomllib.loads(table.read_text(encoding="utf-8"))["price"]
    known = [e for e in entries if e["model"] == model or model.startswith(f"{e['model']}-20")]
    current = [e for e in known if date.fromisoformat(e["dated"]) <= day]
    if not current:
        raise ConfigurationError(
            "has no price, so its cost could not be bounded",
            system="model",
            about=model,
            action="Add it to include/night/enrich/prices.toml",
        )
    entry = max(current, key=lambda e: str(e["dated"]))
    fresh, cached, out = (Decimal(entry[name]) for name in _AMOUNTS)
    share = Decimal(entry.get("batch_share", _BATCH_SHARE))
    return Price(model, entry["dated"], fresh, cached, out, entry["source"], batch_share=share)


def assume_price(model: str, day: date | None = None, table: Path = _TABLE) -> Price:
    """The price of a model, or that of the dearest known one: a cost is never taken for zero because it is unknown."""
    try:
        return find_price(model, day, table)
    except ConfigurationError as unknown:
        entries = tomllib.loads(table.read_text(encoding="utf-8"))["price"]
        dearest = max(entries, key=lambda e: Decimal(e["input"]) + Decimal(e["output"]))["model"]
        price = find_price(dearest, day, table)
        price = replace(price, model=model, dated="assumed", cached_input=price.input, assumed=True)
        log.warning("%s; counted at the price of %s until then", unknown, dearest)
        return price
