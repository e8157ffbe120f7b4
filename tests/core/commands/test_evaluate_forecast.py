"""`evaluate` for forecasts: figures by hand, predictions in a file, and files that cannot be used."""

from __future__ import annotations

import io
import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from include.cli import main
from include.models import Record

NAME = "erp_demand_forecast"


def run(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    return main(("evaluate", NAME, *arguments), out), out.getvalue()


def write(place: Path, series: dict[str, list[float | str]], names: str = "series,period,quantity") -> Path:
    lines = [
        f"{name},{date(2026, 1, 5) + timedelta(weeks=at)},{quantity}"
        for name, quantities in series.items()
        for at, quantity in enumerate(quantities)
    ]
    place.write_text("\n".join((names, *lines)) + "\n")
    return place


def test_figures_are_those_had_by_hand(tmp_path: Path) -> None:
    """A constant series is forecast by itself: what comes after it decides every figure."""
    labels = write(
        tmp_path / "labels.csv", {"a": [10.0] * 20 + [8.0, 10.0, 14.0], "b": [""] * 15 + [4.0] * 5 + [1.0] * 3}
    )
    code, said = run("--labels", str(labels), "--horizon", "3", "--predictions", str(tmp_path / "out.jsonl"))
    assert code == 1, "it is no better than the naive one"
    assert "2 series, 3 weeks ahead" in said
    assert f"WAPE                   {6 / 32:.4f}" in said
    assert f"seasonal naive, naive  {6 / 32:.4f}, {6 / 32:.4f}" in said
    assert "80 % intervals cover   33.3%" in said
    assert "sum of all quantities  93.8% of what came" in said
    assert "left, short" in said
    lines: list[Record] = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert lines[0] == {"id": "a", "period": "2026-05-25", "quantity": 10.0, "low": 10.0, "high": 10.0}
    assert [line["period"] for line in lines[:3]] == ["2026-05-25", "2026-06-01", "2026-06-08"]
    assert lines[3] == {"id": "b", "left": "short"}


def test_mase_and_the_seasonal_naive_look_one_season_back(tmp_path: Path) -> None:
    """Seven days, of which the last is without demand; the forecast has no season, so that it is worse."""
    week = [10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 0.0]
    values = [*week * 4]
    lines = [f"a,{date(2026, 3, 2) + timedelta(days=at)},{quantity}" for at, quantity in enumerate(values)]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(("series,period,quantity", *lines)))
    code, said = run("--labels", str(labels), "--every", "day", "--horizon", "7")
    assert code == 1
    assert "seasonal naive, naive  0.0000, 1.0000" in said
    code, said = run("--labels", str(labels), "--every", "day", "--horizon", "7", "--season", "7")
    assert code == 1
    assert "MASE, median           -" in said


def test_columns_may_be_called_otherwise_and_several_name_a_series(tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    rows = [f"{plant},P1,{date(2026, 1, 5) + timedelta(weeks=at)},{at}" for plant in ("X", "Y") for at in range(20)]
    labels.write_text("\n".join(("plant,product,week,sold", *rows)))
    columns = ("series=plant+product", "period=week", "quantity=sold")
    given = [one for column in columns for one in ("--column", column)]
    code, said = run("--labels", str(labels), "--horizon", "2", *given, "--predictions", str(tmp_path / "out"))
    assert "2 series" in said
    assert [json.loads(line)["id"] for line in (tmp_path / "out").read_text().splitlines()] == ["X P1"] * 2 + [
        "Y P1"
    ] * 2
    assert code == 0


def test_a_series_that_ended_early_is_forecast_for_the_same_periods(tmp_path: Path) -> None:
    labels = write(tmp_path / "labels.csv", {"a": [5.0, 6.0] * 12, "b": [5.0, 6.0] * 9 + [5.0]})
    run("--labels", str(labels), "--horizon", "4", "--predictions", str(tmp_path / "out"))
    lines = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [line["period"] for line in lines[:4]] == [line["period"] for line in lines[4:]]


def test_without_labels_it_is_held_against_its_own_examples() -> None:
    code, said = run()
    assert code == 0
    assert "evals.jsonl: 30 series, 6 weeks ahead" in said
    assert said.count("left, ") == 8


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("series,period\na,2026-01-05\n", (), "has no column quantity; it has series, period"),
        ("series,period,quantity\n", (), "holds no row"),
        ("series,period,quantity\na,soon,1\n", (), "a period or quantity that is none"),
        ("series,period,quantity\na,2026-01-05,many\n", (), "a period or quantity that is none"),
        ("series,period,quantity\na,2026-01-05,1\n", (), "no series that is both forecast and known"),
        ("series,period,quantity\na,2026-01-05,1\n", ("--column", "name=x"), "is no series="),
        ("series,period,quantity\na,2026-01-05,1\n", ("--horizon", "900"), "`horizon` must be"),
    ],
)
def test_what_cannot_be_used_is_said(
    text: str, more: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.csv").write_text(text)
    code, out = run("--labels", str(tmp_path / "labels.csv"), *more)
    assert code == 2
    assert said in out + capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run("--labels", str(tmp_path / "nothing.csv"))
    assert code == 2
    assert "nothing.csv" in out + capsys.readouterr().err
