"""`evaluate`: how good what a use case answers in the process is on known rows, and what it would leave."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from include.commands.train import add_columns, columns_of, figures, left_out
from include.errors import ConfigurationError
from include.operations.prediction_file import write_lines
from include.spec.engines import engine_of, local_names, local_of, output_of
from include.spec.names import folder_of
from include.systems.exact.declared import Exact
from include.systems.forecast.declared import Forecast

if TYPE_CHECKING:
    from include.operations.evaluate_forecast import Scored


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("use_case", choices=local_names())
    parser.add_argument("--labels", type=Path, metavar="FILE", help="CSV or JSON lines (default: its evals.jsonl)")
    add_columns(parser)
    parser.add_argument("--id", metavar="COLUMN", help="what names a row (default: `id`, else its number)")
    parser.add_argument("--predictions", type=Path, metavar="FILE", help="write a JSON line for every row")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="where the model lies (default: the use case's)")
    parser.add_argument(
        "--split",
        choices=("unseen", "all", "folds"),
        default="unseen",
        help="rows that the model has not learnt (default), all rows, or the recipe fitted to these rows in folds",
    )
    forecasts = parser.add_argument_group("forecasts", "the last `horizon` periods of --labels are held out")
    forecasts.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="NAME=COLUMN",
        help="what `series`, `period` or `quantity` is called in a CSV; several joined by + make a name",
    )
    forecasts.add_argument(
        "--every", choices=("day", "week", "month", "quarter"), help="periods (default: as declared)"
    )
    forecasts.add_argument("--horizon", type=int, metavar="N", help="periods ahead (default: as declared)")
    forecasts.add_argument("--season", type=int, metavar="N", help="periods of a season, 0 for none (as declared)")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0, or 1 if a row is decided alone with an answer that it must not get.

    Of a forecast 1 says that it is no better than the quantity of one season before, of an exact engine that an answer
    is wrong.
    """
    engine = engine_of(given.use_case)
    if isinstance(engine, Exact):
        return _run_exact(engine, given, out)
    return _run_forecast(engine, given, out) if isinstance(engine, Forecast) else _run_fitted(given, out)


def _run_exact(engine: Exact, given: argparse.Namespace, out: TextIO) -> int:
    from include.operations.evaluate_exact import evaluate_exact

    folder = folder_of(given.use_case)
    labels = given.labels or folder / "evals.jsonl"
    found = evaluate_exact(engine, folder, output_of(given.use_case), labels, given.id)
    out.write(f"{labels}: {found.rows:,} rows; nothing was asked\n")
    out.write(f"  decided and right      {found.right:,}\n  decided and wrong      {len(found.wrong):,}\n")
    out.writelines(f"  left, {why.replace('_', ' '):16} {count:,}\n" for why, count in sorted(found.left.items()))
    out.writelines(f"  wrong: {name}\n" for name in found.wrong[:20])
    if given.predictions is not None:
        write_lines(given.predictions, found.lines)
        out.write(f"Predictions: {given.predictions}\n")
    return 1 if found.wrong else 0


def _run_fitted(given: argparse.Namespace, out: TextIO) -> int:
    from include.operations.evaluate import evaluate, predictions

    local, folder = local_of(given.use_case), folder_of(given.use_case)
    labels = given.labels or folder / "evals.jsonl"
    columns = columns_of(given, local)
    found = evaluate(local, output_of(given.use_case), given.model or folder, labels, columns, given.split)
    out.writelines(left_out(found.unusable))
    out.write(f"{labels}: {found.split}\n")
    least = "decides nothing" if found.threshold is None else f"decides from a probability of {found.threshold:.3f} on"
    out.write(f"  the model {least}; nothing was asked\n")
    out.writelines(figures(found.score, local.certain))
    if given.predictions is not None:
        write_lines(given.predictions, predictions(found, local))
        out.write(f"Predictions: {given.predictions}\n")
    return 1 if found.score.forbidden else 0


def _run_forecast(declared: Forecast, given: argparse.Namespace, out: TextIO) -> int:
    from include.operations.evaluate_forecast import score
    from include.systems.forecast.labels import read_series

    labels = given.labels or folder_of(given.use_case) / "evals.jsonl"
    declared, series = read_series(labels, _fitting(declared, given), _columns(given.column))
    found = score(declared, output_of(given.use_case), series)
    out.write(f"{labels}: {found.series:,} series, {declared.horizon} {declared.every}s ahead; nothing was asked\n")
    out.writelines(_figures(found))
    if given.predictions is not None:
        write_lines(given.predictions, found.lines)
        out.write(f"Predictions: {given.predictions}\n")
    return 0 if found.wape < found.seasonal else 1


def _fitting(declared: Forecast, given: argparse.Namespace) -> Forecast:
    """The declaration with what the command line says otherwise."""
    season = declared.season if given.season is None else given.season or None
    every, horizon = given.every or declared.every, given.horizon or declared.horizon
    return replace(declared, every=every, horizon=horizon, season=season)


def _columns(given: list[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    if wrong := [name for name, _, theirs in pairs if name not in ("series", "period", "quantity") or not theirs]:
        raise ConfigurationError(f"{wrong[0]!r} is no series=, period= or quantity=", about="--column")
    return {name: theirs for name, _, theirs in pairs}


def _figures(found: Scored) -> Iterator[str]:
    yield f"  WAPE                   {found.wape:.4f}\n"
    yield f"  seasonal naive, naive  {found.seasonal:.4f}, {found.naive:.4f}\n"
    yield f"  MASE, median           {'-' if found.mase is None else f'{found.mase:.3f}'}\n"
    yield f"  80 % intervals cover   {found.coverage:.1%}\n"
    yield f"  sum of all quantities  {found.total:.1%} of what came\n"
    if found.spread is not None:
        yield f"  Spread for 80 % here   Spread({found.spread.low}, {found.spread.high})\n"
    for why, count in sorted(found.left.items()):
        yield f"  left, {why:16} {count:,}\n"
