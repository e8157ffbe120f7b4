"""Whether a prompt version may be used, by what it did on labelled rows: a pure function of counts.

Two versions that answered the same rows are held against each other by McNemar's test: only rows that one of them got
right and the other did not tell them apart, and if they were equally good, each such row would be as likely to be lost
as to be won. The p-value is exact and one-sided: the probability of at least so many rows lost among them, by the
binomial distribution with 1/2. Psychometrika 12 (1947) 153, https://doi.org/10.1007/BF02295996.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import comb
from typing import Literal

LEAST_ROWS = 20
"""Rows below which nothing is said: 20 right of 20 leave a share of 84 % possible (Wilson, 95 %), fewer still less."""
CHANCE = 0.05
"""The p-value below which a version is worse."""
MOST_SCHEMA_FAILURES = 0.01
"""The share of rows to which there is no usable answer, up to which a version passes."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a version did: `rows` of labels, `correct` ones, those without a usable answer, those that broke a rule."""

    rows: int
    correct: int
    schema_failures: int
    must_not_broken: int


@dataclass(frozen=True, slots=True)
class Paired:
    """Rows that only the version in use got right (`lost`), and that only the new one did (`won`), of `rows`."""

    rows: int
    lost: int
    won: int

    @property
    def p_value(self) -> float:
        """How likely so many or more rows are lost, if the two are equally good; 1 where they never differ."""
        return p_value(self.lost, self.lost + self.won)

    @property
    def smallest(self) -> float | None:
        """The smallest loss, as a share of the rows, that would have been told here; None: no loss could be."""
        return smallest_loss(self.rows, self.lost + self.won)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the gate says, and why: sentences of counts."""

    word: Literal["passed", "failed", "too_few"]
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the version may be used."""
        return self.word == "passed"


def rule(found: Counted, bar: float, paired: Paired | None = None) -> Ruling:
    """Hold a version against the bar (a share, 0 to 1) and, where there is one, against the version in use."""
    if found.rows < LEAST_ROWS:
        return Ruling("too_few", (f"{found.rows} labelled rows say too little: it takes {LEAST_ROWS}",))
    against = []
    if found.correct / found.rows < bar:
        against.append(f"{found.correct / found.rows:.1%} of {found.rows} rows are right, {bar:.1%} are needed")
    if found.must_not_broken:
        against.append(f"{found.must_not_broken} rows have an answer that they must not get")
    if found.schema_failures / found.rows > MOST_SCHEMA_FAILURES:
        share = f"{found.schema_failures} of {found.rows} rows have no answer that fits"
        against.append(f"{share}, {MOST_SCHEMA_FAILURES:.0%} at most may")
    if paired is not None and paired.p_value < CHANCE:
        rows = f"{paired.lost} rows that the version in use gets right are lost, {paired.won} are won"
        against.append(f"{rows}: worse, p = {paired.p_value:.2g}")
    return Ruling("failed" if against else "passed", tuple(against))


def p_value(lost: int, differing: int) -> float:
    """The probability of at least `lost` of `differing` rows by chance alone (McNemar, exact, one-sided)."""
    return float(Fraction(sum(comb(differing, k) for k in range(lost, differing + 1)), 2**differing))


def smallest_loss(rows: int, differing: int) -> float | None:
    """The smallest net loss that so many differing rows could have told, as a share of all; None where none could.

    With fewer than five differing rows not even the loss of all of them is told: then five are taken, which is the
    least that the test can tell on any rows.
    """
    differing = max(differing, 5)
    if differing > rows:
        return None
    least = next(lost for lost in range(differing + 1) if p_value(lost, differing) < CHANCE)
    return (2 * least - differing) / rows
