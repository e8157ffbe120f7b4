"""`evaluate`: how good a prompt and a model are on labelled rows, or what a use case answers in the process."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from include.commands import ASKING
from include.commands.evaluations import add_record, run_record
from include.commands.train import add_columns, columns_of, figures, left_out
from include.errors import ConfigurationError
from include.models import Record
from include.operations.prediction_file import write_lines
from include.spec.engines import engine_of, local_names, local_of, output_of
from include.spec.names import folder_of, names
from include.systems.exact.declared import Exact
from include.systems.forecast.declared import Forecast

if TYPE_CHECKING:
    from include.operations.evaluate_forecast import Scored
    from include.operations.evaluate_prompt import Evaluated
    from include.operations.evaluate_scores import Share, Told


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("use_case", choices=names(), nargs="?")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="CSV or JSON lines (default: its evals.jsonl)")
    _add_asking(parser)
    add_record(parser)
    add_columns(parser)
    parser.add_argument("--id", metavar="COLUMN", help="what names a row (default: `id`, else its number)")
    parser.add_argument("--predictions", type=Path, metavar="FILE", help="write a JSON line for every row")
    parser.add_argument(
        "--model",
        metavar="NAME|FOLDER",
        help="the model that is asked, or where a fitted one lies (default: the spec's)",
    )
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


def _add_asking(parser: argparse.ArgumentParser) -> None:
    asking = parser.add_argument_group("asking", "a model is asked; with an engine in the process only if one is given")
    asking.add_argument("--ask", action="store_true", help="ask about what the use case's engine leaves")
    asking.add_argument("--prompt", metavar="vN", help="the version to ask with (default: the one that the spec pins)")
    asking.add_argument(
        "--against", metavar="vM", help="the version in use, by the spec's model (default: the spec's, if another)"
    )
    asking.add_argument("--models", metavar="A,B", help="ask several models, side by side; judges none")


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0, or 1 if what was evaluated may not be used.

    That is a prompt and model that the gate does not pass, a fitted model that decides a row alone with an answer that
    it must not get, a forecast no better than the quantity of one season before, an exact engine with a wrong answer.
    """
    if given.list or given.set_aside:
        return run_record(given, out)
    if given.use_case is None:
        raise ConfigurationError("needs a use case", about="evaluate", action=f"Known: {', '.join(names())}")
    if given.use_case not in local_names() or any(getattr(given, one[2:]) for one in ASKING):
        return _run_asking(given, out)
    engine = engine_of(given.use_case)
    if isinstance(engine, Exact):
        return _run_exact(engine, given, out)
    return _run_forecast(engine, given, out) if isinstance(engine, Forecast) else _run_fitted(given, out)


def _run_asking(given: argparse.Namespace, out: TextIO) -> int:
    from include.operations.evaluate_asked import Wanted, evaluate_asked
    from include.settings import Settings
    from include.systems.connections import EnvironmentConnections

    several = tuple(one.strip() for one in (given.models or "").split(",") if one.strip())
    if several and given.model:
        raise ConfigurationError("goes with neither --against nor --model", about="--models")
    wanted = Wanted(given.prompt, given.against, given.labels, several, given.model)
    found = evaluate_asked(EnvironmentConnections(), Settings.read(), given.use_case, wanted)
    if several:
        out.writelines(_side_by_side(found))
        return 0
    out.writelines(_told(found[0]))
    if given.predictions is not None:
        write_lines(given.predictions, [_line(one) for one in found[0].told])
    return 0 if found[0].ruling.passed else 1


def _line(told: Told) -> Record:
    """A row's number, what became of it, and the fields that are known to be right as they were answered."""
    said = {name: (told.answer or {}).get(name) for name in told.label.expected}
    by = "local" if told.by_engine else "model"
    return {"id": str(told.label.number), "labels": said, "verdict": told.verdict, "decided_by": by}


def _side_by_side(found: Sequence[Evaluated]) -> Iterator[str]:
    form = "{:26} {:>7} {:>18} {:>7} {:>8} {:>9} {:>12} {:>11}  {}\n"
    yield form.format("model", "right", "bounds", "schema", "must not", "p95 ms", "US$ a row", "US$ now", "gate")
    for one in found:
        low, high = one.scores.right.bounds
        latency = one.scores.latency[1] if one.scores.latency else "-"
        yield form.format(
            one.model,
            f"{one.scores.right.value:.1%}",
            f"{low:.1%} to {high:.1%}",
            one.scores.schema_failures,
            one.scores.must_not_broken,
            latency,
            f"{one.scores.row_cost:.6f}",
            f"{one.cost:.4f}",
            one.ruling.word.replace("_", " "),
        )


def _told(found: Evaluated) -> Iterator[str]:
    """The figures of one evaluation, what the gate says and why, and where it is on record."""
    scores, prompt = found.scores, found.prompt
    yield f"{found.labels.name}: {scores.right.of:,} rows, {prompt.name} {prompt.version} by {found.model}\n"
    yield f"  right                  {_part(scores.right)}\n"
    for name, share in scores.fields.items():
        f1 = f", macro F1 {scores.macro_f1[name]:.3f}" if name in scores.macro_f1 else ""
        yield f"  {name:22} {_part(share)}{f1}\n"
    if scores.calibration is not None:
        yield f"  calibration error      {scores.calibration:.3f}\n"
    yield f"  schema failures        {scores.schema_failures:,}; asked again {scores.asked_again:,}\n"
    yield from (f"  no answer, {why.replace('_', ' '):11} {count:,}\n" for why, count in scores.not_answered.items())
    yield f"  must-not broken        {scores.must_not_broken:,}\n"
    if scores.latency is not None:
        yield f"  latency                {scores.latency[0]:,} ms, 95 % within {scores.latency[1]:,} ms\n"
    yield f"  cost                   US$ {scores.row_cost:.6f} a row; paid now US$ {found.cost:.4f}\n"
    yield from (f"  slice {name}: {_part(share)}\n" for name, share in scores.slices.items())
    if found.paired is not None:
        paired = found.paired
        least = (
            "no loss could have been told" if paired.smallest is None else f"a loss of {paired.smallest:.1%} or more"
        )
        yield f"Against {found.against}: {paired.lost} rows lost, {paired.won} won, p = {paired.p_value:.2g}; "
        yield f"told would be {least}\n"
    yield {"passed": "PASSED", "failed": "NOT PASSED", "too_few": "NOT JUDGED"}[found.ruling.word]
    yield f": {'; '.join(found.ruling.reasons)}\n" if found.ruling.reasons else "\n"
    if found.ruling.word == "failed":
        yield "Nights with this prompt and model ask nothing from now on, until it passes. Was the evaluation wrong: "
        yield f"nightledger evaluate {found.prompt.name} --set-aside {found.evaluation_id} --because ...\n"
    kept = {"evaluation_id": str(found.evaluation_id), "run_id": found.run_id}
    yield json.dumps({**kept, "calls": found.calls, "cost_usd": str(found.cost)}) + "\n"


def _part(share: Share) -> str:
    low, high = share.bounds
    return f"{share.value:.1%} ({low:.1%} to {high:.1%}) of {share.of:,}"


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
    place = Path(given.model) if given.model else folder
    found = evaluate(local, output_of(given.use_case), place, labels, columns, given.split)
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
