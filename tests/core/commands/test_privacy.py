"""`nightledger privacy` on the command line: what needs a word is refused without one, and nothing is done unasked."""

from __future__ import annotations

import io

import pytest

from include.cli import main
from include.ledger.verify import verify
from include.run import Night
from tests.core.commands.test_cli import CASE, _environment, connection, night, run  # noqa: F401 - fixtures
from tests.core.conftest import Ledger


@pytest.mark.usefixtures("night")
def test_holds_are_set_named_and_lifted(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("privacy", "holds") == (0, "Nothing is held.\n")
    assert run("privacy", "hold", "--use-case", CASE, "--row-key", "1")[0] == 2
    code, said = run("privacy", "hold", "--use-case", CASE, "--row-key", "1", "--reason", "a lawsuit")
    assert (code, f"row 1 of {CASE}: a lawsuit" in said) == (0, True)
    assert "UNDER LEGAL HOLD" in run("privacy", "erase", "--use-case", CASE, "--row-key", "1")[1]
    assert run("privacy", "lift", "1", "--reason", "settled")[0] == 0
    assert "lifted by" in run("privacy", "holds")[1]
    assert verify(ledger.service).holds


def test_nothing_is_erased_or_removed_unasked(
    night: Night,  # noqa: F811
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = ("privacy", "erase", "--use-case", CASE, "--row-key", "2")
    assert "Nothing was done" in run(*one)[1]
    assert run(*one, "--reason", "why", "--yes")[0] == 2, "without the owner's connection"
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB_OWNER", connection(ledger.urls.owner))
    assert run(*one, "--yes")[0] == 2, "without a reason"
    assert verify(ledger.service).gone == ()
    code, said = run(*one, "--reason", "why", "--yes")
    assert (code, "inference 1" in said) == (0, True)
    assert len(verify(ledger.service).gone) == 1
    assert "Nothing is left" in run("privacy", "go-on")[1]
    assert "Nothing is older" in run("privacy", "retain")[1]


def test_a_value_from_stdin_is_found_by_nobody_else(
    night: Night,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("nobody@nowhere.example\n"))
    assert "0 rows, 0 calls" in run("privacy", "sent", "-")[1]
    code, said = run("privacy", "sent", "--use-case", CASE, "--row-key", "1", "--form", "csv")
    assert (code, said.splitlines()[0].startswith('"time","what"')) == (0, True)
    assert '"sent"' in said
    assert main(("privacy", "sent"), io.StringIO()) == 2
    assert main(("privacy", "sent", "--row-key", "1"), io.StringIO()) == 2
