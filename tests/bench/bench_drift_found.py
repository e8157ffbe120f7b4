"""What drift finds on public data: changes of many kinds by recall, and the unchanged nights that were called drifted.

    make bench ONLY=drift_found, or: python -m tests.bench.bench_drift_found [FOLDER] [--other] [--again] [-v]

FOLDER holds the public sets; without them nothing is measured. `--other` takes the sets that limits were chosen on,
`--again` other seeds, of which nothing was chosen; `-v` says what was missed. Beside the package's own verdicts stand
two baselines of the same run: the rule that the package had before (`drift_before`), and what common libraries test.
The exit code is 1 when a bar is missed, of the first seeds on the first sets. About two minutes.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from upath import UPath

from include.night.check import drift
from include.night.check.past_nights import PastNight
from include.quality.profile import profile_night
from include.settings import ROOT
from include.spec.use_case import Drift
from include.staging import StagedWriter
from tests.bench.drift_before import drifted as before_rule
from tests.bench.drift_nights import CHANGES, NightlySet, sets, to_arrow
from tests.bench.drift_other_sets import other_sets

PUBLIC = ROOT.parent / "shared" / "data"
BARS = {"unchanged": 0.02} | {change: 0.95 for change in CHANGES if not change.endswith("*")}
"""At most so many false nights, at least so many of the changed ones found."""
SEEDS = 16
P_VALUE = 0.05
MOST_DISTINCT = 60
PAST = 35


@dataclass(frozen=True, slots=True)
class Shown:
    """A night as a rule sees it: its rows and profile, and those of the nights before it, newest first."""

    rows: pd.DataFrame
    night: PastNight
    before: list[pd.DataFrame]
    past: list[PastNight]


Rule = Callable[[Shown], list[str]]


def watched(shown: Shown) -> list[str]:
    """What the package calls drifted."""
    found = drift.measure(shown.night, shown.past, Drift())
    return [f"{f.signal} {f.column} {f.statistic}" for f in found if f.verdict == "drifted"]


def tested(shown: Shown) -> list[str]:
    """What common libraries test by default, each column at 5 %: Kolmogorov-Smirnov, of texts chi-squared."""
    from scipy.stats import chi2_contingency, ks_2samp

    found, before = [], pd.concat(shown.before)
    for name in shown.rows.columns:
        now, was = shown.rows[name].dropna(), before[name].dropna()
        if now.dtype.kind in "if" and len(now) and len(was):
            p = ks_2samp(now, was).pvalue
        elif now.dtype.kind not in "ifM" and was.nunique() <= MOST_DISTINCT and len(now) and len(was):
            counts = pd.concat([now.value_counts(), was.value_counts()], axis=1).fillna(0)
            p = chi2_contingency(counts.T).pvalue if len(counts) > 1 else 1.0
        else:
            continue
        if p < P_VALUE:
            found.append(name)
    return found


RULES: dict[str, Rule] = {
    "nightledger": watched,
    "before": lambda shown: before_rule(shown.night, shown.past),
    "libraries": tested,
}


class Diary:
    """The nights of one set, profiled in turn as the check stage does."""

    def __init__(self, folder: Path, given: NightlySet) -> None:
        self.folder, self.given = folder, given
        self.nights: list[PastNight] = []
        for start, rows in given.nights:
            self.nights.append(self.profiled(start, rows, self.before(len(self.nights))))

    def before(self, at: int) -> list[PastNight]:
        return self.nights[max(at - PAST, 0) : at][::-1]

    def profiled(self, start: datetime, rows: pd.DataFrame, past: list[PastNight]) -> PastNight:
        table = to_arrow(rows)
        with StagedWriter(UPath(self.folder / "raw.parquet"), table.schema) as writer:
            writer.write_table(table)
        edges, end = drift.usual_edges(past), start + self.given.step
        manifest = writer.manifest("r", "raw")
        whole, columns = profile_night(manifest, end, edges=edges)
        return PastNight(f"{start:%Y%m%d}", start, len(rows), columns, whole)

    def shown(self, at: int, rows: pd.DataFrame | None = None) -> Shown:
        start, usual = self.given.nights[at]
        past = self.before(at)
        night = self.nights[at] if rows is None else self.profiled(start, rows, past)
        frames = [rows for _, rows in self.given.nights[max(at - PAST, 0) : at]]
        return Shown(usual if rows is None else rows, night, frames[::-1], past)


def main() -> int:
    """Print false nights and recall by set and change."""
    folder_of_sets = Path(next((one for one in sys.argv[1:] if not one.startswith("-")), PUBLIC))
    if not folder_of_sets.is_dir():
        print(f"nothing is measured: the public sets are not in {folder_of_sets}")
        return 0
    verbose, first = "-v" in sys.argv, 100 if "--again" in sys.argv else 0
    chosen = other_sets if "--other" in sys.argv else sets
    found: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for given in chosen(folder_of_sets):
            diary = Diary(Path(folder), given)
            test = range(given.warm, len(given.nights))
            why: dict[str, Counter[str]] = defaultdict(Counter)
            for at in test:
                shown = diary.shown(at)
                for name, rule in RULES.items():
                    said = rule(shown)
                    found[name, given.name, "unchanged"].append(bool(said))
                    why[name].update(said)
            if verbose:
                for name, reasons in why.items():
                    print(given.name, name, dict(reasons.most_common(20)))
            for change, make in CHANGES.items():
                for seed in range(first, first + SEEDS):
                    random = np.random.default_rng([seed, len(change)])
                    at = int(random.choice(test))
                    usual = pd.concat([rows for _, rows in given.nights[max(at - PAST, 0) : at]])
                    if (rows := make(given.nights[at][1], random, usual)) is None:
                        continue
                    shown = diary.shown(at, rows)
                    for name, rule in RULES.items():
                        said = rule(shown)
                        found[name, given.name, change].append(bool(said))
                        if verbose and not said:
                            different = [c for c in rows if c in usual and not rows[c].equals(given.nights[at][1][c])]
                            print("  missed", name, change, at, different if len(different) < 4 else len(rows))
    for rule in RULES:
        table(rule, found)
    ours, names = next(iter(RULES)), {name for _, name, _ in found}
    missed = [change for change in BARS if not _reaches(change, [found[ours, name, change] for name in names])]
    print(f"\nbars missed: {', '.join(missed) or 'none'}")
    return int(bool(missed) and chosen is sets and not first)


def _reaches(change: str, found: list[list[int]]) -> bool:
    said = [one for part in found for one in part]
    share = sum(said) / max(len(said), 1)
    return share <= BARS[change] if change == "unchanged" else share >= BARS[change]


def table(rule: str, found: dict[tuple[str, str, str], list[int]]) -> None:
    """One line per change, one column per set, the last over all."""
    names = list(dict.fromkeys(name for _, name, _ in found))
    print(f"\n{rule}\n{'':24}" + "".join(f"{name.split(',')[0][:14]:>16}" for name in names) + f"{'all':>12}")
    for change in ("unchanged", *CHANGES):
        each = [found[rule, name, change] for name in names]
        cells = "".join(f"{f'{sum(one)}/{len(one)}' if one else '-':>16}" for one in each)
        total = [said for one in each for said in one]
        print(f"{change:24}{cells}{sum(total) / max(len(total), 1):12.3f}")


if __name__ == "__main__":
    sys.exit(main())
