"""Where the rows behind a number are: paths of the pages in Airflow, from the root of its server."""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode

PAGES = "/nightledger"


def quarantine_page(use_case: str, **chosen: str) -> str:
    """The quarantine, narrowed to a use case and what else is chosen: `run_id`, `expectation`, `owner`, `status`."""
    return f"{PAGES}/quarantine?{urlencode({'use_case': use_case, **chosen})}"


def review_page(use_case: str, **chosen: str) -> str:
    """What waits for people, narrowed to a use case and what else is chosen: `run`, `status`, `reason`."""
    return f"{PAGES}/review?{urlencode({'use_case': use_case, **chosen})}"


def run_page(run_id: str) -> str:
    """The page of one run."""
    return f"{PAGES}/runs/{quote(run_id, safe='')}"


def failing_page(run_id: str, expectation: str) -> str:
    """Every row of a run that fails an expectation."""
    return f"{run_page(run_id)}/failing/{quote(expectation, safe='')}"


def system_page(system: str) -> str:
    """A system of the registry, with what is left of its limits and budgets."""
    return f"{PAGES}/systems#system-{quote(system, safe='')}"


def runbook_page(runbook: str, heading: str) -> str:
    """A section of a runbook."""
    return f"{PAGES}/runbooks/{quote(runbook, safe='')}#{anchor(heading)}"


def anchor(heading: str) -> str:
    """A heading as it stands in addresses, as GitHub makes it of Markdown."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
