"""Deciding from the command line, and by a table that went out as CSV and came back, also as a workbook."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from include.cli import main
from include.models import Mode, Record, RunOptions
from include.night.gate.gate import gate
from include.run import Night
from tests.core.conftest import Ledger, MakeNight
from tests.core.night.gate.answers import answer, stage_enriched
from tests.core.systems.files.test_sheets import workbook

CASE = "crm_lead_scoring"


@pytest.fixture(autouse=True)
def _environment(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = make_url(ledger.urls.service)
    where = {"host": url.query["host"], "schema": url.database, "login": url.username}
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", json.dumps(where))
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path))
    monkeypatch.setenv("NIGHTLEDGER_TOKEN_SECRET", "test secret")
    monkeypatch.setattr("include.commands.review.actor", lambda: "ada")


@pytest.fixture
def queue(make_night: MakeNight) -> Callable[..., Night]:
    def make(answers: dict[str, Record] | None = None) -> Night:
        night = make_night(options=RunOptions(mode=Mode.GATED))
        given = answers or {"one": answer(confidence=0.9), "two": answer(confidence=0.3, tier="cold", score=5)}
        gate(night, stage_enriched(night, given))
        return night

    return make


def run(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    return main(["review", *arguments], out), out.getvalue()


def items(ledger: Ledger) -> dict[str, Record]:
    with ledger.service.connect() as connection:
        found = connection.execute(text("SELECT * FROM nightledger.review_item")).mappings()
        return {row["row_key"]: dict(row) for row in found}


def number(ledger: Ledger, key: str) -> str:
    return str(items(ledger)[key]["review_item_id"])


def test_what_waits_is_listed_riskiest_first(queue: Any) -> None:
    queue()
    code, said = run("list", "--use-case", CASE)
    assert code == 0
    assert said.index("two") < said.index("one")
    assert "2 wait, 0 are decided and not applied yet" in said
    assert "two" not in run("list", "--use-case", CASE, "--field", "tier=hot")[1].split("wait")[0]
    assert "one" not in run("list", "--use-case", CASE, "--below", "0.5")[1].split("wait")[0]


def test_an_item_is_shown_with_what_it_was_answered_from(queue: Any, ledger: Ledger) -> None:
    queue()
    code, said = run("show", number(ledger, "one"))
    found = json.loads(said)
    assert (code, found["use_case"], found["shown"]["input"]) == (0, CASE, {"job_title": "buyer"})


@pytest.mark.parametrize("order", [("{one}", "{two}", "--use-case", CASE), ("--use-case", CASE, "{one}", "{two}")])
def test_numbers_may_stand_before_options_and_behind_them(queue: Any, ledger: Ledger, order: tuple[str, ...]) -> None:
    queue()
    numbers = {key: number(ledger, key) for key in ("one", "two")}
    code, said = run("approve", *(part.format(**numbers) for part in order), "--comment", "both")
    assert (code, said) == (0, "2 approved; 0 refused\n")


def test_numbers_may_stand_between_options(queue: Any, ledger: Ledger) -> None:
    queue()
    code, said = run("reject", "--comment", "no", number(ledger, "one"), "--use-case", CASE, number(ledger, "two"))
    assert (code, said) == (0, "2 rejected; 0 refused\n")


def test_items_are_approved_by_number_or_by_filter(queue: Any, ledger: Ledger) -> None:
    queue()
    assert run("approve", number(ledger, "one"), "--use-case", CASE) == (0, "1 approved; 0 refused\n")
    code, said = run("approve", "--use-case", CASE, "--field", "tier=cold")
    assert (code, said) == (0, "1 approved; 0 refused\n")
    assert {row["decided_by"] for row in items(ledger).values()} == {"ada"}


def test_what_cannot_be_decided_is_said_with_exit_code_1(queue: Any, ledger: Ledger) -> None:
    queue()
    run("approve", number(ledger, "one"), "--use-case", CASE)
    code, said = run("approve", number(ledger, "one"), "--use-case", CASE)
    assert code == 1
    assert "was approved by ada" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("approve",), "needs numbers or a filter"),
        (("reject", "1"), "needs a --comment"),
        (("edit", "1"), "needs the number of one item and --set"),
        (("undo",), "needs the numbers of items"),
        (("import",), "needs a file"),
        (("show", "999999"), "no such item"),
    ],
)
def test_what_is_missing_is_said(
    queue: Any, arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    queue()
    assert run(*arguments, "--use-case", CASE)[0] == 2
    assert words in capsys.readouterr().err


def test_an_answer_is_edited_field_by_field(queue: Any, ledger: Ledger) -> None:
    queue()
    wanted = ("--set", "score=12", "--set", "tier=cold", "--comment", "left")
    assert run("edit", number(ledger, "one"), "--use-case", CASE, *wanted)[0] == 0
    row = items(ledger)["one"]
    assert (row["status"], row["output"]["score"], row["output"]["tier"]) == ("edited", 12, "cold")
    code, said = run("edit", number(ledger, "two"), "--use-case", CASE, "--set", "score=many")
    assert code == 1
    assert "score: Input should be a valid integer" in said


def test_a_decision_is_taken_back_and_an_item_assigned(queue: Any, ledger: Ledger) -> None:
    queue()
    one = number(ledger, "one")
    run("approve", one, "--use-case", CASE)
    assert run("undo", one, "--use-case", CASE) == (0, "1 waiting; 0 refused\n")
    assert run("assign", one, "--use-case", CASE, "--to", "bob") == (0, "1 items assigned\n")
    assert items(ledger)["one"]["assigned_to"] == "bob"


def test_nothing_to_apply_is_said(queue: Any) -> None:
    queue()
    assert run("apply") == (0, "nothing was decided since\n")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def put(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> Path:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        lines = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        lines.writeheader()
        lines.writerows(rows)
    return path


@pytest.fixture
def exported(queue: Any, tmp_path: Path) -> Path:
    """The queue as a table: an answer with a formula in it, one with a number that a spreadsheet would shorten."""
    queue(
        {
            "one": answer(summary="=cmd|'/c calc'!A1"),
            "two": answer(summary="007", score=5, tier="cold"),
            "three": answer(score=60, tier="warm"),
        }
    )
    path = tmp_path / "queue.csv"
    assert run("export", "--use-case", CASE, "--output", str(path)) == (0, f"3 rows in {path}\n")
    return path


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_table_comes_back_with_what_people_said(exported: Path, ledger: Ledger, delimiter: str) -> None:
    rows = {row["row_key"]: row for row in table(exported)}
    assert rows["one"]["answer: summary"].startswith("'=")
    rows["one"]["verdict"] = "Approve "
    rows["two"] |= {"verdict": "edit", "answer: score": "6.0", "answer: summary": "7", "comment": "one more"}
    rows["three"] |= {"verdict": "reject", "comment": "not ours"}
    path = put(exported, list(rows.values()), delimiter)
    code, said = run("import", "--use-case", CASE, "--input", str(path))
    assert (code, said.count("refused")) == (0, 3), said
    held = items(ledger)
    assert {key: row["status"] for key, row in held.items()} == {
        "one": "approved",
        "two": "edited",
        "three": "rejected",
    }
    assert (held["two"]["output"]["score"], held["two"]["output"]["summary"]) == (6, "007")
    assert (held["three"]["comment"], held["one"]["output"]) == ("not ours", None)


def test_a_workbook_comes_back_as_well(exported: Path, ledger: Ledger, tmp_path: Path) -> None:
    rows = table(exported)
    lines: list[list[Any]] = [list(rows[0])]
    for row in rows:
        said = {"item": int(row["item"]), "answer: score": float(row["answer: score"]), "verdict": "approve"}
        lines.append(list((row | said).values()))
    workbook(tmp_path / "queue.xlsx", {"queue": lines})
    assert run("import", "--use-case", CASE, "--input", str(tmp_path / "queue.xlsx"))[0] == 0
    assert {row["status"] for row in items(ledger).values()} == {"approved"}


def test_lines_that_cannot_be_used_are_named_and_the_others_count(exported: Path, ledger: Ledger) -> None:
    rows = {row["row_key"]: row for row in table(exported)}
    rows["one"] |= {"verdict": "approve", "use_case": "support_triage"}
    rows["two"] |= {"verdict": "approve", "answer: score": "99"}
    rows["three"] |= {"verdict": "approve"}
    extra = [rows["three"] | {"item": "999999"}, rows["three"] | {"item": "x"}, rows["three"] | {"verdict": "yes"}]
    code, said = run("import", "--use-case", CASE, "--input", str(put(exported, [*rows.values(), *extra])))
    assert code == 1
    for words in (
        "is of another queue than crm_lead_scoring",
        "approves an answer that was changed in the table; say edit",
        "there is no such item in this queue",
        "its item is no number",
        "its verdict is none of approve, edit, reject",
        "5 lines could not be used, 0 say nothing",
    ):
        assert words in said, said
    assert {key: row["status"] for key, row in items(ledger).items()} == {
        "one": "waiting",
        "two": "waiting",
        "three": "approved",
    }


def test_an_answer_that_changed_since_the_table_went_out_is_refused(exported: Path, ledger: Ledger) -> None:
    rows = [row | {"verdict": "approve", "shown_sha256": "0" * 64} for row in table(exported)]
    code, said = run("import", "--use-case", CASE, "--input", str(put(exported, rows)))
    assert (code, said.count("is not what you were shown")) == (1, 3)
    assert {row["status"] for row in items(ledger).values()} == {"waiting"}


def test_a_list_that_is_no_list_is_refused(exported: Path, ledger: Ledger) -> None:
    rows = [row | {"verdict": "edit", "answer: reasons": "one, two"} for row in table(exported)[:1]]
    code, said = run("import", "--use-case", CASE, "--input", str(put(exported, rows)))
    assert code == 1
    assert "line 2: reasons must be JSON, as it was" in said


def test_another_file_is_refused_whole(queue: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queue()
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert run("import", "--use-case", CASE, "--input", str(tmp_path / "other.csv"))[0] == 2
    assert "has no column item, shown_sha256, use_case, verdict, comment" in capsys.readouterr().err
    (tmp_path / "other.xlsx").write_text("no workbook")
    assert run("import", "--use-case", CASE, "--input", str(tmp_path / "other.xlsx"))[0] == 2
    assert "cannot be read" in capsys.readouterr().err


def test_corrections_are_examples(queue: Any, ledger: Ledger, tmp_path: Path) -> None:
    queue()
    run("edit", number(ledger, "one"), "--use-case", CASE, "--set", "tier=warm")
    run("approve", number(ledger, "two"), "--use-case", CASE)
    path = tmp_path / "candidates.jsonl"
    assert run("examples", "--use-case", CASE, "--output", str(path)) == (0, f"1 rows in {path}\n")
    (example,) = (json.loads(line) for line in path.read_text().splitlines())
    assert (example["expected"]["tier"], example["rejected"]["tier"]) == ("warm", "hot")
