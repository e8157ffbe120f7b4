"""The page of failing rows: what it shows beside each, and what it says where nothing is left to show."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from include.errors import ConfigurationError
from include.ledger.record import record_manifest
from include.pages.failing import Failing, show_failing
from include.personal import token_of
from include.quality.failures import FAILURES
from include.run import Night
from include.staging import StagedWriter
from tests.core.conftest import Ledger, MakeNight
from tests.core.pages.test_pages import expect

SECRET = "test secret"


def keep_failures(night: Night, failing: dict[str, int]) -> Path:
    with StagedWriter(night.path("failures.parquet"), FAILURES) as writer:
        for name, count in sorted(failing.items()):
            keys = range(count)
            columns = [[name] * count, [f"crm/contacts/{n}" for n in keys], [str(n) for n in keys], list(keys)]
            writer.write_table(pa.table(columns, schema=FAILURES))
    manifest = writer.manifest(night.run_id, "failures")
    record_manifest(night.ledger, manifest)
    return Path(manifest.uri)


def keep_raw(night: Night, rows: int, **columns: object) -> Path:
    """Rows as `keep_failures` names them; a column's value may depend on the row's number."""
    names = {"row_id": pa.string(), "row_key": pa.string(), **dict.fromkeys(columns, pa.string())}
    with StagedWriter(night.path("raw.parquet"), pa.schema(list(names.items())), rows_per_group=40) as writer:
        for n in range(rows):
            values = {name: value(n) if callable(value) else value for name, value in columns.items()}
            writer.append({"row_id": f"crm/contacts/{n}", "row_key": str(n), **values})
    manifest = writer.manifest(night.run_id, "raw")
    record_manifest(night.ledger, manifest)
    return Path(manifest.uri)


def test_failing_rows_are_shown_page_by_page_also_of_those_that_went_on(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night()
    keep_failures(night, {"email_format": 120, "other": 7})
    for name, failing in (("email_format", 120), ("other", 7), ("fine", 0)):
        expect(ledger, night, name, failing)
    first = show_failing(ledger.service, night.run_id, "email_format", SECRET)
    assert (first.failing, len(first.rows), first.next_offset) == (120, 50, 50)
    last = show_failing(ledger.service, night.run_id, "email_format", SECRET, offset=100)
    assert [row.row_key for row in last.rows] == [str(number) for number in range(100, 120)]
    assert last.next_offset is None
    assert len(show_failing(ledger.service, night.run_id, "other", SECRET).rows) == 7
    assert show_failing(ledger.service, night.run_id, "fine", SECRET).rows == []
    assert show_failing(ledger.service, night.run_id, "other", SECRET, offset=10**9).rows == []


def test_failing_rows_that_are_not_there_are_said_to_be_gone(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night()
    expect(ledger, night, "email_format", 3)
    with pytest.raises(ConfigurationError, match="no such expectation"):
        show_failing(ledger.service, night.run_id, "unheard_of", SECRET)
    never = show_failing(ledger.service, night.run_id, "email_format", SECRET)
    assert (never.failing, never.rows) == (3, [])
    assert "kept none" in never.problem
    keep_failures(night, {"email_format": 3}).unlink()
    gone = show_failing(ledger.service, night.run_id, "email_format", SECRET)
    assert (gone.failing, gone.rows) == (3, [])
    assert gone.problem == "The rows cannot be shown any more: the staged file is gone."


def test_beside_a_failing_row_stands_what_its_columns_held(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night()
    keep_failures(night, {"country": 90, "email_format": 3})
    texts = {0: None, 1: "call ann@example.com", 2: "x" * 5_000}
    keep_raw(night, 120, country=lambda n: texts.get(n, f"Absurdia {n}"), email=lambda n: f"ann@{n}" if n else None)
    expect(ledger, night, "email_format", 3, column="email")
    expect(ledger, night, "country", 90, column="country")
    plain = show_failing(ledger.service, night.run_id, "country", SECRET)
    assert plain.problem == ""
    assert [row.held["country"] for row in plain.rows[:3]] == [None, "call " + token(plain, 1), "x" * 200 + "…"]
    assert "ann@example.com" not in str(plain)
    further = show_failing(ledger.service, night.run_id, "country", SECRET, offset=50)
    assert [row.held["country"] for row in further.rows] == [f"Absurdia {n}" for n in range(50, 90)]
    masked = show_failing(ledger.service, night.run_id, "email_format", SECRET)
    assert masked.personal == {"email"}
    assert [row.held["email"] for row in masked.rows] == [None, token_of("ann@1", SECRET), token_of("ann@2", SECRET)]
    assert "ann@" not in str(masked)


def test_what_people_wrote_is_shown_without_people(
    ledger: Ledger, make_night: MakeNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = make_night()
    case = replace(night.case, tokenise=("country",))
    monkeypatch.setattr("include.pages.failing.load", lambda name: case)
    keep_failures(night, {"country_form": 1})
    keep_raw(night, 1, country="My name is Siobhan McAllister and I live here")
    expect(ledger, night, "country_form", 1, column="country")
    (row,) = show_failing(ledger.service, night.run_id, "country_form", SECRET).rows
    assert row.held["country"] == f"My name is {token_of('Siobhan McAllister', SECRET)} and I live here"


def token(page: Failing, at: int) -> str:
    found = re.search(r"token:[0-9a-f]{12}", str(page.rows[at].held))
    assert found
    return found[0]


def test_a_column_that_was_never_staged_is_told_from_an_empty_one(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night()
    keep_failures(night, {"size": 2})
    keep_raw(night, 2, country="DE")
    expect(ledger, night, "size", 2, column="company_size")
    found = show_failing(ledger.service, night.run_id, "size", SECRET)
    assert found.absent == {"company_size"}
    assert [dict(row.held) for row in found.rows] == [{}, {}]
    assert found.problem == ""


@pytest.mark.parametrize(
    ("secret", "happens", "said"),
    [
        (SECRET, "gone", "Values cannot be shown any more: the staged file is gone."),
        (SECRET, "other", "Values cannot be shown: the dataset is not the one that was checked."),
        (SECRET, "none", "Values are not shown: the run has no such dataset."),
        ("", "", "Values are not shown: NIGHTLEDGER_TOKEN_SECRET is not set where these pages run."),
    ],
)
def test_rows_are_named_although_their_values_cannot_be_shown(
    ledger: Ledger, make_night: MakeNight, secret: str, happens: str, said: str
) -> None:
    night = make_night()
    keep_failures(night, {"country": 3})
    expect(ledger, night, "country", 3, column="country")
    if happens != "none":
        place = keep_raw(night, 2 if happens == "other" else 3, country="DE")
        if happens == "gone":
            place.unlink()
    found = show_failing(ledger.service, night.run_id, "country", secret)
    assert found.problem == said
    assert [(row.row_key, dict(row.held)) for row in found.rows] == [("0", {}), ("1", {}), ("2", {})]
