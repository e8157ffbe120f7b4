"""Columns that are made of others."""

from __future__ import annotations

from include.spec.reshape import Underivable

BETWEEN = " / "


def product_of(series: str | None) -> str:
    """The product of a series such as `P-1000 / DE01`; raises Underivable for what is none."""
    return _parts(series)[0]


def plant_of(series: str | None) -> str:
    """The plant of a series; raises Underivable for what is none."""
    return _parts(series)[1]


def _parts(series: str | None) -> tuple[str, str]:
    product, between, plant = (series or "").rpartition(BETWEEN)
    if not (product and between and plant):
        raise Underivable("the forecast's key names no product and plant")
    return product, plant
