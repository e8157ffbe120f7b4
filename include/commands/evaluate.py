"""`evaluate`: how good a use case's fitted model is on labelled rows, and what it would leave to be asked."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TextIO

from include.commands.train import add_columns, columns_of, figures, left_out
from include.spec.engines import local_names, local_of, output_of
from include.spec.names import folder_of


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
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0, or 1 if a row is decided alone with an answer that it must not get."""
    from include.operations.evaluate import evaluate, write_predictions

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
        write_predictions(given.predictions, found, local)
        out.write(f"Predictions: {given.predictions}\n")
    return 1 if found.score.forbidden else 0
