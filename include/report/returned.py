"""What a use case has returned, in words, beside its declared baseline."""

from __future__ import annotations

from include.ledger.returned import Returned
from include.spec.use_case import Baseline


def returned_in_words(baseline: Baseline, found: Returned) -> str:
    """Lines of text: counts, cost, and what was saved with its formula; ends with a line break."""
    cost = "no row was answered" if found.cost_per_row is None else f"{found.cost_per_row:.6f} USD"
    wrong = "nobody has decided yet" if found.error_rate is None else f"{found.error_rate:.1%}"
    lines = (
        ("Nights that succeeded", f"{found.nights:,}"),
        ("Rows answered", f"{found.answered:,}"),
        ("Answers put before people", f"{found.looked_at:,}"),
        ("Cost of all calls", f"{found.cost:.6f} USD"),
        ("Cost per answered row", cost),
        ("Baseline", f"{baseline.value:g} {baseline.unit}: {baseline.metric} ({baseline.measured})"),
        ("Saved", _saved(baseline, found)),
        ("Error rate", f"{wrong} = {found.overruled:,} edited or rejected / {found.decided:,} decided by people"),
    )
    width = max(len(name) for name, _ in lines)
    return "".join(f"{name:{width}}  {said}\n" for name, said in lines)


def _saved(baseline: Baseline, found: Returned) -> str:
    """The product with its factors, so that nobody has to believe it."""
    unit, per_row = baseline.unit.partition(" per ")[0], baseline.value
    return f"{found.saved(per_row):g} {unit} = {found.alone:,} rows written without a person x {per_row:g} {unit}"
