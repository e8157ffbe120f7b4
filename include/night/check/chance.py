"""What pure chance does to shares and histograms of nights that are alike.

Rows of a night are rarely independent: leads of one company share its industry. Nights then differ by more than their
row counts explain, and by how much, the nights before have shown: thresholds grow by that factor, as Laney's p'-chart
has it (D. Laney, Improved Control Charts for Attributes, Quality Engineering 14, 2002).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

PSI_BINS = 10


def stability_index(now: Sequence[int], before: Sequence[int], chance: float) -> tuple[float, float]:
    """The population stability index of two histograms, and what pure chance exceeds with probability `chance`.

    PSI = sum over bins of (p - q) ln(p / q) = KL(p, q) + KL(q, p), with p and q the shares of a bin (N. Siddiqi, Credit
    Risk Scorecards, 2006; 0.1 is called small and 0.25 large). Bins are joined until each holds a tenth of `before`,
    and every bin gets half a row more, so that an empty one stays finite. Without a change, PSI is distributed as
    (1/n + 1/m) x chi-squared with bins - 1 degrees of freedom (B. Yurdakul, Statistical Properties of Population
    Stability Index, 2018).
    """
    import numpy as np
    from scipy.special import chdtri, rel_entr

    joined = np.asarray(_joined(now, before), dtype="float64")
    n, m = joined.sum(axis=0)
    p, q = ((joined + 0.5) / (joined + 0.5).sum(axis=0)).T
    value = float((rel_entr(p, q) + rel_entr(q, p)).sum())
    freedom = max(len(joined) - 1, 1)
    return value, float(chdtri(freedom, chance)) * (1 / n + 1 / m)


def _joined(now: Sequence[int], before: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbouring bins joined until each holds a tenth of `before`; those that were empty before make up one."""
    least = sum(before) / PSI_BINS
    bins: list[tuple[int, int]] = []
    here = was = 0
    for a, b in zip(now, before, strict=True):
        here, was = here + (a if b else 0), was + b
        if was >= least:
            bins.append((here, was))
            here = was = 0
    if was:
        last = bins.pop()
        bins.append((last[0] + here, last[1] + was))
    unseen = sum(a for a, b in zip(now, before, strict=True) if not b)
    return [*bins, (unseen, 0)] if unseen else bins


def overdispersion(groups: Sequence[Sequence[Sequence[int]]]) -> float:
    """By how much nights differ beyond what independent rows would, as a factor of variance of at least 1.

    `groups` are nights that are alike, each night its counts per bin. Every night is held against the others of its
    group by Pearson's chi-squared; the median over all nights of what it is beyond its own median is the factor, so
    that a bad night among them does not count (J. Rao and A. Scott, On Chi-Squared Tests for Multiway Contingency
    Tables, Annals of Statistics 12, 1984).
    """
    import numpy as np
    from scipy.special import chdtri

    found = []
    for group in groups:
        nights = np.asarray(group, dtype="float64")
        rest = nights.sum(axis=0) - nights
        for a, b in zip(nights, rest, strict=True):
            n, m, filled = a.sum(), b.sum(), a + b > 0
            if n and m and filled.sum() > 1:
                away = (a * math.sqrt(m / n) - b * math.sqrt(n / m))[filled] ** 2 / (a + b)[filled]
                found.append(float(away.sum() / chdtri(filled.sum() - 1, 0.5)))
    return max(1.0, median(found)) if found else 1.0


def share_by_chance(pooled: float, rows: int, rows_before: int, chance: float) -> float:
    """By how much two shares of one population differ with probability `chance` (normal approximation, two-sided)."""
    return deviations(chance) * math.sqrt(pooled * (1 - pooled) * (1 / rows + 1 / rows_before))


def deviations(chance: float) -> float:
    """How many standard deviations pure chance exceeds, to either side, with that probability."""
    from scipy.special import ndtri

    return float(-ndtri(chance / 2))
