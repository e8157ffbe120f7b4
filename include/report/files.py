"""The reports of a run, beside its staged data."""

from __future__ import annotations

from collections.abc import Mapping

from include.ledger.quarantine import Filter
from include.models import Record
from include.private import write_file
from include.report.cleanup import write_cleanup
from include.report.facts import collect
from include.report.html import as_html
from include.report.quality_facts import collect_quality
from include.report.quality_html import as_html as quality_as_html
from include.report.quality_json import as_json as quality_as_json
from include.report.text import as_text
from include.run import Night


def write_reports(night: Night, truth: Mapping[str, str] | None = None) -> Record:
    """Write `report.*`, `quality.*` and what each owner of a source is to mend; returns their places by name.

    `truth` (row key -> label) adds the comparison with what became of the rows.
    """
    facts, quality = collect(night.ledger, night.run_id, truth), collect_quality(night.ledger, night.run_id)
    places: Record = {}
    for name, file, content in (
        ("report", "report.html", as_html(facts)),
        ("report_text", "report.txt", as_text(facts) + "\n"),
        ("quality", "quality.html", quality_as_html(quality)),
        ("quality_json", "quality.json", quality_as_json(quality) + "\n"),
    ):
        place = night.path(file)
        write_file(place, content)
        places[name] = str(place)
    waiting = Filter(run_id=night.run_id, status="waiting")
    places["cleanup"] = write_cleanup(night.ledger, night.settings, waiting, night.path("report.txt").parent)
    return places
