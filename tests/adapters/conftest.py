"""The ledger's fixtures, which tests of the pages need beside Airflow's own server; nobody has looked at much yet."""

import pytest

from tests.core.conftest import ledger, ledger_template, ledger_urls, make_night, postgres  # noqa: F401


@pytest.fixture(autouse=True)
def no_looks_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """How often somebody may look at personal values is counted by process, and tests share one."""
    monkeypatch.setattr("nightledger.ui.rates.LOOKS._times", {})
