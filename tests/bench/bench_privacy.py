"""Share of personal values that is masked, and rows a second: PYTHONPATH=. python tests/bench/bench_privacy.py"""

from __future__ import annotations

from include.privacy.find import find_personal
from include.privacy.forms import find_forms
from include.privacy.tagging import read_weights
from tests.core.privacy.public_pii import Recall, measure, read_set


def show(name: str, said: Recall) -> None:
    """Print one table."""
    print(f"\n{name}: {said.rows} rows, {said.rows / said.seconds:,.0f} rows/s")
    for kind, count in sorted(said.spans.items()):
        print(f"  {kind:20} {said.masked[kind]:4} of {count:4}  {said.of(kind):.3f}")
    print(f"  clean words masked   {said.clean_words_masked / said.clean_words:.3f}")
    print(f"  clean rows masked    {said.clean_rows_masked} of {said.clean_rows}")


if __name__ == "__main__":
    read_weights()
    rows = read_set()
    list(find_forms("+49 30 1234567 and 78 651 450"))  # loads what checks numbers
    show("by form", measure(rows, find_forms))
    show("everything", measure(rows, find_personal))
    show(
        "everything, templates that were not looked at",
        measure([r for r in rows if r["template_id"] % 4], find_personal),
    )
