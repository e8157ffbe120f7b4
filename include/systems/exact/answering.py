"""Which rows a function answers, and why it leaves the others."""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from include.models import Record
from include.systems.exact.declared import Exact, Left
from include.systems.port import Sorted

log = logging.getLogger(__name__)
DECIDED, LEFT, UNFIT, FAILED = "decided", "left", "unfit", "failed"
_REASON = re.compile(r"[a-z][a-z0-9_]{0,39}")
_ENCODER = json.JSONEncoder(allow_nan=False)


class Answering:
    """A function before rows; no row that it fails on keeps another from being answered."""

    def __init__(self, exact: Exact, name: str, output: Any) -> None:
        self.name = name
        self._exact, self._output = exact, output

    def sort(self, rows: Sequence[Mapping[str, Any]]) -> Sorted:
        """Answers by position; the others are counted by why they are left."""
        decided, counts, failures = dict[int, Record](), Counter({DECIDED: 0}), Counter[str]()
        for at, row in enumerate(rows):
            try:
                answer = self._exact.function({name: row[name] for name in self._exact.reads})
            except Left as error:
                counts[_reason(error)] += 1
                continue
            except Exception as error:  # whatever a use case's function raises concerns its row alone
                failures[_where(error)] += 1
                counts[FAILED] += 1
                continue
            valid = None if answer is None else self._valid(answer)
            counts[DECIDED if valid is not None else LEFT if answer is None else UNFIT] += 1
            if valid is not None:
                decided[at] = valid
        for where, count in failures.items():
            log.warning("%s raised %s for %d of %d rows, which are left", self.name, where, count, len(rows))
        return Sorted(decided, dict(counts))

    def _valid(self, answer: Record) -> Record | None:
        """The answer in JSON types, None where it does not fit the output."""
        try:
            valid: Record = self._output.model_validate(answer).model_dump(mode="json")
            _ENCODER.encode(valid)
        except ValidationError as error:
            named = {str(one["loc"][0]) for one in error.errors(include_input=False) if one["loc"]}
            known = sorted(named & set(self._output.model_fields))
            log.info("%s: an answer does not fit the output: %s", self.name, ", ".join(known) or "as a whole")
        except ValueError:
            log.info("%s: an answer holds a number that is no JSON", self.name)
        else:
            return valid
        return None


def _reason(error: Left) -> str:
    """The words as a count's name; what looks like anything else is not repeated."""
    said = str(error)
    return said if _REASON.fullmatch(said) and said not in (DECIDED, UNFIT, FAILED) else LEFT


def _where(error: Exception) -> str:
    """An error's type and the line that raised it; never its words, which may quote a value."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.name}, line {last.lineno}"
