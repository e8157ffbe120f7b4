"""Contracts that lawyers have labelled: CUAD v1 (https://www.atticusprojectai.org/cuad), ten of them as text."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from include.settings import ROOT

CUAD = ROOT.parent / "shared" / "data" / "documents_cuad_contracts"
OMITTED = "<omitted>"


class Asked(NamedTuple):
    """A clause that a contract has: its question, and the answers word by word, each maybe in several parts."""

    name: str
    text: str
    question: str
    answers: list[list[str]]

    def is_in(self, passages: Sequence[str]) -> bool:
        """Whether one of the passages holds a whole answer."""
        held = [bare(passage) for passage in passages]
        return any(all(part in passage for part in parts) for parts in self.answers for passage in held)


def bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())


def asked(most: int | None = None) -> Iterator[Asked]:
    """Each clause of each contract, of at most so many contracts, whose answer stands in the text."""
    with (CUAD / "category_descriptions.csv").open(encoding="utf-8-sig", newline="") as handle:
        rows = [list(row.values())[:2] for row in csv.DictReader(handle)]
    said = {name.partition(":")[2].strip().lower(): text.partition(":")[2].strip() for name, text in rows}
    for contract in json.loads((CUAD / "labels.json").read_text(encoding="utf-8"))[:most]:
        name = contract["file"].removesuffix(".pdf")
        text = (CUAD / "text" / f"{name}.txt").read_text(encoding="utf-8")
        whole = bare(text)
        for clause, spans in contract["cuad_master_clauses"].items():
            if clause.endswith("Answer") or not spans:
                continue
            parts = [[bare(part) for part in span.split(OMITTED) if bare(part)] for span in ast.literal_eval(spans)]
            answers = [each for each in parts if each and all(part in whole for part in each)]
            if answers:
                yield Asked(name, text, f"{clause} {said[clause.strip().lower()]}", answers)
