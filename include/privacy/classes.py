"""Classes of data, from what anybody may know to what never leaves, and which of them an endpoint may be shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, get_args

DataClass = Literal["public", "internal", "confidential", "personal", "special", "payment"]
"""In the order of how carefully they are kept; `special` is GDPR's Article 9 (health, belief, origin), `payment` is
card data.
"""
CLASSES: tuple[DataClass, ...] = get_args(DataClass)
NEVER: DataClass = "payment"
"""Is shown to nobody, whatever is declared."""


def strictest(classes: Collection[DataClass]) -> DataClass:
    """The class that is kept most carefully."""
    return max(classes, key=CLASSES.index)


def require_classes(names: Sequence[str], where: str) -> tuple[DataClass, ...]:
    """The names as classes; raises ValueError naming those that are none, and what is shown to nobody."""
    unknown = sorted(set(names) - set(CLASSES))
    if unknown:
        raise ValueError(f"`{where}` has {', '.join(unknown)}; known: {', '.join(CLASSES)}")
    if NEVER in names:
        raise ValueError(f"`{where}` has {NEVER}, which no model may be shown")
    return tuple(one for one in CLASSES if one in names)


def refused(
    classes: Mapping[str, DataClass],
    tokenised: Collection[str],
    may_see: Collection[DataClass],
    may_see_as_tokens: Collection[DataClass],
) -> dict[str, DataClass]:
    """Columns whose class an endpoint may not be shown, with that class.

    A column is shown if its class is one of `may_see`; one whose personal values become tokens also if it is one of
    `may_see_as_tokens`.
    """
    return {
        name: one
        for name, one in classes.items()
        if one == NEVER or not (one in may_see or (name in tokenised and one in may_see_as_tokens))
    }
