"""`manifest`: the page of a use case that its declarations make, written or held against them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TextIO

from include.errors import ConfigurationError
from include.spec.names import names


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("use_case", nargs="?", metavar="USE_CASE", choices=names(), help="default: all of them")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is not current")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="default: docs/use_cases/manifests")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 1 if a page is not current with `--check`, else 0; ConfigurationError if it cannot be written."""
    from include.operations.manifest.page import PAGES, difference, gaps, page, path_of
    from include.settings import Settings
    from include.spec.use_case import load
    from include.systems.registry import read_systems

    systems, folder = read_systems(Settings.read().systems_file), given.to or PAGES
    stale = 0
    for name in [given.use_case] if given.use_case else names():
        case = load(name)
        made = page(case, systems)
        found = difference(name, made, folder)
        if given.check:
            out.writelines(f"{line}\n" for line in found)
            stale += bool(found)
        elif found:
            _write(path_of(name, folder), made)
            out.write(f"Wrote {path_of(name, folder)}\n")
        if missing := gaps(case):
            out.write(f"{name}: not declared yet: {', '.join(missing)}\n")
    if stale:
        out.write(f"{stale} not current: run `nightledger manifest`, and commit what it writes\n")
    return 1 if stale else 0


def _write(path: Path, made: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot be written: {error.strerror}", system="manifest", about=str(path)) from error
