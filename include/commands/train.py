"""`train`: fit a use case's model to labelled rows."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from include.errors import ConfigurationError
from include.spec.engines import local_names, local_of, output_of
from include.spec.names import folder_of
from include.systems.fitted.declared import Local

if TYPE_CHECKING:
    from include.operations.train import Trained
    from include.systems.fitted.labels import Columns, Unusable
    from include.systems.fitted.scores import Score, Share


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("use_case", choices=local_names())
    parser.add_argument("--labels", required=True, type=Path, metavar="FILE", help="CSV with a header, or JSON lines")
    add_columns(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the model is kept (default: the use case's)")
    parser.add_argument("--anyway", action="store_true", help="keep it even if it is worse than the one in use")
    parser.set_defaults(command=run)


def add_columns(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that say what the columns of a file of labels are called."""
    parser.add_argument(
        "--text", action="append", default=[], metavar="[NAME=]COLUMN", help="the column of a text that the model reads"
    )
    parser.add_argument("--label", action="append", default=[], metavar="FIELD=COLUMN", help="the column of a label")
    parser.add_argument("--group", metavar="COLUMN", help="rows that share it are held out together")


def columns_of(given: argparse.Namespace, local: Local) -> Columns:
    """The columns that were named; raises ConfigurationError for one that the model neither reads nor fills."""
    from include.systems.fitted.labels import Columns

    text = _pairs(given.text, "--text", local.reads, alone=local.reads[0] if len(local.reads) == 1 else None)
    label = _pairs(given.label, "--label", local.fills, alone=None)
    return Columns(text, label, given.group, getattr(given, "id", None) or "id")


def _pairs(given: Sequence[str], option: str, known: Sequence[str], alone: str | None) -> dict[str, str]:
    pairs = {}
    for one in given:
        name, equals, column = one.rpartition("=")
        if not equals and alone is not None:
            name = alone
        if name not in known:
            raise ConfigurationError(f"{one!r} needs the form NAME=COLUMN with one of {', '.join(known)}", about=option)
        pairs[name] = column
    return pairs


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0 when the model is kept, 1 when it is not since it is worse than the one in use."""
    from include.operations.train import train

    local, folder = local_of(given.use_case), folder_of(given.use_case)
    columns = columns_of(given, local)
    made = train(local, output_of(given.use_case), folder, given.labels, columns, into=given.out, anyway=given.anyway)
    out.writelines(left_out(made.unusable))
    out.write(f"Learnt from {made.rows:,} rows. Held out: {made.split}\n")
    out.writelines(figures(made.score, local.certain))
    out.writelines(_verdict(made))
    return 0 if made.place is not None else 1


def _verdict(made: Trained) -> Iterator[str]:
    if made.note:
        yield f"  note: {made.note}\n"
    if made.standing is not None:
        new, old = made.standing.new, made.standing.in_use
        yield f"Against the one in use, on {made.standing.split}:\n"
        yield f"  right {new[0]:.1%} against {old[0]:.1%}; right and alone {new[1]:.1%} against {old[1]:.1%}\n"
    if made.place is None:
        yield "NOT KEPT: it is worse than the one in use; --anyway keeps it\n"
    else:
        yield f"Kept: {made.place}\n"
        if made.standing is not None:
            yield f'Pin it where the model is declared: Local("{made.model}", ...)\n'


def left_out(unusable: Sequence[Unusable]) -> Iterator[str]:
    """A line for every reason why rows are left out."""
    from include.systems.fitted.labels import told

    for one in unusable:
        yield f"  left out, {one.reason}: {told(one.numbers)}\n"


def figures(score: Score, certain: float) -> Iterator[str]:
    """The figures of labelled rows, for people."""
    yield f"  right                  {_share(score.right)}\n"
    yield f"  decided alone          {_share(score.decided)}\n"
    yield f"  right of those         {_share(score.alone)}, wanted {certain:.0%}\n"
    yield f"  left for doubt         {score.doubt:,}; as out of scope {score.strange:,}\n"
    yield f"  calibration error      {score.calibration:.3f}\n"
    if score.outside.of:
        yield f"  out of scope, left     {_share(score.outside)}\n"
    if score.forbidden:
        yield f"  FORBIDDEN, decided     {score.forbidden:,}\n"
    for name, share in score.fields.items():
        yield f"  {name}: right {_share(share)}, macro F1 {score.macro_f1(name):.3f}\n"
        for one in score.labels:
            if one.field == name:
                yield (
                    f"    {one.label:28} rows {one.rows:>6,}  F1 {one.f1:.2f}  "
                    f"decided {one.decided:>6,}, right {one.decided_right:>6,}\n"
                )


def _share(share: Share) -> str:
    if not share.of:
        return "no rows"
    found = share.as_json()
    return f"{share.value:.1%} ({found['low']:.1%} to {found['high']:.1%}) of {share.of:,}"
