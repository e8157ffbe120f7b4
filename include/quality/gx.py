"""Great Expectations on pandas; the only file that imports it, inside the function that needs it.

Its validator is given its pandas engine directly. Through data source, asset and batch, every frame would be hashed
twice for a fingerprint that nobody reads, which costs more than the checks. Failing rows come back as positions: the
complete list at about the cost of a summary, where the documented way (key columns and a query) takes thirty times as
long. The frame's index must be 0..n-1, else positions name wrong rows.
"""

from __future__ import annotations

import builtins
import difflib
import functools
import importlib
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from include.quality.expectation import DERIVED, SQL, Expectation
from include.quality.patterns import spell_out, without_like
from include.quality.usual import History

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

logging.getLogger("great_expectations").setLevel(logging.WARNING)  # it would log lines about itself in every task
_POSITIONS = {
    "result_format": "COMPLETE",
    "return_unexpected_index_query": False,
    "exclude_unexpected_values": True,
}
_UNIQUE = {"ExpectColumnValuesToBeUnique", "ExpectCompoundColumnsToBeUnique"}
_OTHER_ROWS_MATTER = {
    *("ExpectColumnValueZScoresToBeLessThan", "ExpectColumnValuesToNotBeOutliers"),
    *("ExpectColumnValuesToBeIncreasing", "ExpectColumnValuesToBeDecreasing"),
}
_ROW_WISE = {"ColumnMapExpectation", "ColumnPairMapExpectation", "MulticolumnMapExpectation"}
_TYPES_OF_COLUMNS = {"ExpectColumnValuesToBeOfType", "ExpectColumnValuesToBeInTypeList"}
_SETS = {"ExpectColumnDistinctValuesToBeInSet", "ExpectColumnDistinctValuesToEqualSet"}
_SHOWN_VALUES = 10
Reach = Literal["types", "columns", "count", "row", "equals", "table", "sql"]
"""What must be seen in one piece: columns' types, columns' names, how many rows, a row, equal rows, or all rows.

`sql` is what a query makes of it.
"""
_EXACT_AS_FLOAT = 2**53
_TEXT = 300


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What one expectation found in one frame; `positions` are the failing rows, counted from 0.

    `missing` counts rows without a value, which no row-wise type but the null checks judges. `about_rows` is false
    where the verdict is one on the table, whether or not rows can be named for it.
    """

    success: bool
    positions: Sequence[int] = field(default=(), repr=False)
    observed: str | None = None
    missing: int = 0
    about_rows: bool = False
    could_not_run: str | None = None

    def moved(self, among: np.ndarray) -> Evaluated:
        """The same of all rows, where those that were judged are the ones that `among` marks."""
        import numpy as np

        return replace(self, positions=among.nonzero()[0][np.asarray(self.positions, np.intp)].tolist())


@dataclass(frozen=True, slots=True)
class Prepared:
    """An expectation as the library takes it, built once."""

    expectation: Expectation
    configuration: Any = None
    reach: Reach = "row"
    allowed: str = ""
    about_rows: bool = False
    could_not_run: str | None = None


class _Later(ModuleType):
    """Stands in for a module until one of its names is used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def _postponed(*names: str) -> Iterator[None]:
    """Let the block import modules without loading them; whoever imports them after it gets the real ones."""
    later = {name: _Later(name) for name in names if name not in sys.modules}
    sys.modules.update(later)
    try:
        yield
    finally:
        for name, module in later.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


@functools.cache
def load_library() -> tuple[Any, Callable[[pd.DataFrame], AbstractContextManager[Any]]]:
    """The library's expectations, and what opens its validator for a frame; imported once per process.

    Two libraries that only its divergence of distributions works with are a third of its cost, and wait until then.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with _postponed("scipy.stats", "altair"):
        import great_expectations as gx
    from great_expectations import expectations as types
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
    from great_expectations.validator.validator import Validator

    for name in ("great_expectations", "great_expectations.data_context.types.base"):  # the latter sets its own
        logging.getLogger(name).setLevel(logging.ERROR)
    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}

    @contextmanager
    def validator(frame: pd.DataFrame) -> Iterator[Any]:
        """What holds the frame holds itself, too: let go here, or memory would grow until all garbage is collected."""
        given = {"rows": frame}
        engine = PandasExecutionEngine(batch_data_dict=given)
        try:
            yield Validator(execution_engine=engine, data_context=context)
        finally:
            given.clear()
            engine.batch_manager.batch_data_cache.clear()

    return types, validator


def prepare(expectation: Expectation, history: History) -> Prepared:
    """Build an expectation; one that cannot be built says why, and never passes."""
    if expectation.type == SQL:
        return Prepared(expectation, reach="sql", about_rows=True)
    types, _ = load_library()
    kind = getattr(types, expectation.type, None)
    if kind is None:
        near = difflib.get_close_matches(expectation.type, [name for name in dir(types) if name[:6] == "Expect"], 1)
        return Prepared(expectation, could_not_run=f"no type {expectation.type!r}" + (f"; {near[0]}?" if near else ""))
    try:
        bounds = dict(expectation.bounds(history)) if expectation.bounds else {}
        arguments = {**expectation.arguments, **bounds}
        if "mostly" in arguments:
            return Prepared(expectation, could_not_run="`mostly` is a share of values; say `at_least`, one of all rows")
        judging, given = without_like(expectation.type, arguments)
        kind = getattr(types, judging)
        configuration = kind(**_spelt_out(given), meta={"id": expectation.id}).configuration
    except Exception as error:
        return Prepared(expectation, could_not_run=_in_words(error, expectation))
    allowed = _allowed(arguments)
    row_wise = bool(_ROW_WISE & {ancestor.__name__ for ancestor in kind.__mro__})
    return Prepared(expectation, configuration, _reach(expectation, row_wise), allowed, about_rows=row_wise)


def _spelt_out(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with patterns that are quick to look for."""
    given = dict(arguments)
    if isinstance(given.get("regex"), str):
        given["regex"] = spell_out(given["regex"])
    if isinstance(given.get("regex_list"), list):
        given["regex_list"] = [spell_out(one) if isinstance(one, str) else one for one in given["regex_list"]]
    return given


def _allowed(arguments: Mapping[str, Any]) -> str:
    """What an observed value may be, in words; empty where the arguments say it otherwise."""
    least, most = arguments.get("min_value"), arguments.get("max_value")
    if "value" in arguments:
        return f"exactly {arguments['value']}"
    if least is not None and most is not None:
        return f"{least} to {most}"
    if least is not None or most is not None:
        return f"at least {least}" if most is None else f"at most {most}"
    return f"less than {arguments['threshold']}" if "threshold" in arguments else ""


def _reach(expectation: Expectation, row_wise: bool) -> Reach:
    if expectation.type in _TYPES_OF_COLUMNS:
        return "types"
    if expectation.type.startswith("ExpectTableColumn"):
        return "columns"
    if expectation.type.startswith("ExpectTableRowCount"):
        return "count"
    if expectation.type in _UNIQUE and not expectation.whole:
        return "equals"
    whole = expectation.whole or not row_wise or expectation.type in _OTHER_ROWS_MATTER
    return "table" if whole else "row"


def judge(
    prepared: Prepared,
    frame: pd.DataFrame,
    history: History,
    run: Callable[[pd.DataFrame], Evaluated] | None = None,
) -> Evaluated:
    """Derive what is to be derived, and judge the frame by `run`, else by the library; what raises is not run.

    The frame stays as it is: pandas copies what is written to.
    """
    expectation = prepared.expectation
    try:
        if expectation.derive is not None:
            frame = frame.copy(deep=False)
            frame[DERIVED] = derived(expectation, frame, history)
        return run(frame) if run else judge_frame(prepared, frame)
    except Exception as error:
        return not_run(prepared, error)


def judge_frame(prepared: Prepared, frame: pd.DataFrame) -> Evaluated:
    """Run one expectation on a frame that holds all its columns; one that raises is reported as not run."""
    _, validator = load_library()
    try:
        with validator(frame) as library:
            (found,) = library.graph_validate(
                configurations=[prepared.configuration], runtime_configuration={"result_format": dict(_POSITIONS)}
            )
    except Exception as error:
        return not_run(prepared, error)
    return _read(prepared, found, frame)


def not_run(prepared: Prepared, error: Exception) -> Evaluated:
    """The verdict where something was raised instead."""
    return Evaluated(False, could_not_run=_in_words(error, prepared.expectation))


def to_frame(table: pa.Table) -> pd.DataFrame:
    """The table as pandas; whole numbers that a float would round keep a type that does not."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    frame = table.to_pandas()
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_integer(column.type) and column.null_count:
            ends = pc.min_max(column).as_py()
            if max(abs(ends["min"] or 0), abs(ends["max"] or 0)) > _EXACT_AS_FLOAT:
                frame[name] = pd.array(column.to_pylist(), dtype="Int64")
    return frame


def derived(expectation: Expectation, frame: pd.DataFrame, history: History) -> Any:
    """The derived column, one value a row; where it is a flag, unknown is not true."""
    import pandas as pd

    given: Any = expectation.derive
    derived = given(frame, history.interval)
    if len(derived) != len(frame):
        raise _WrongLengthError(len(derived), len(frame))
    if not isinstance(derived, pd.Series):
        derived = pd.Series(derived, index=frame.index)
    if not derived.index.equals(frame.index) and not derived.index.sort_values().equals(frame.index):
        raise _WrongLengthError(int(frame.index.isin(derived.index).sum()), len(frame))
    if derived.hasnans and pd.api.types.infer_dtype(derived, skipna=True) == "boolean":
        return derived.astype("boolean").fillna(False).astype(bool)
    return derived


class _WrongLengthError(ValueError):
    """`derive` did not give one value for each row."""

    def __str__(self) -> str:
        return f"gave values for {self.args[0]:,} of {self.args[1]:,} rows"


def _read(prepared: Prepared, result: Any, frame: pd.DataFrame) -> Evaluated:
    raised = _exception(result.exception_info or {})
    if raised:
        return Evaluated(False, could_not_run=_without_values(raised, prepared.expectation)[:_TEXT])
    details = result.result or {}
    if prepared.about_rows and "unexpected_count" in details:
        missing = int(details.get("missing_count") or 0) if prepared.expectation.derive is None else 0
        positions = details.get("unexpected_index_list") or ()
        return Evaluated(bool(result.success), positions, missing=missing, about_rows=True)
    observed, positions = _observed(details), list[int]()
    if prepared.expectation.type in _SETS and not result.success:
        positions, outside = _outside(prepared, frame)
        observed = "; ".join(filter(None, [outside, observed]))
    if observed is not None and prepared.allowed:
        observed = f"{observed}, allowed {prepared.allowed}"
    return Evaluated(bool(result.success), positions, observed=None if observed is None else observed[:_TEXT])


def _outside(prepared: Prepared, frame: pd.DataFrame) -> tuple[list[int], str]:
    """The rows whose value is outside of the set, which the library does not name, and those values in words."""
    given = prepared.configuration.kwargs
    column = frame[given["column"]]
    rows = column.notna() & ~column.isin(given["value_set"])
    counts = column[rows].value_counts()
    words = [f"{value} ({count:,})" for value, count in counts.head(_SHOWN_VALUES).items()]
    more = [f"and {len(counts) - _SHOWN_VALUES:,} more"] if len(counts) > _SHOWN_VALUES else []
    return rows.to_numpy().nonzero()[0].tolist(), f"outside the set: {', '.join([*words, *more])}" if words else ""


def _observed(details: Any) -> str | None:
    """The observed value in words; of columns that do not match, only those."""
    mismatched = (details.get("details") or {}).get("mismatched")
    if isinstance(mismatched, dict):
        return "; ".join(f"{what}: {', '.join(map(str, names))}" for what, names in mismatched.items())
    if details.get("missing_count") and "partial_missing_list" in details:
        absent = details["partial_missing_list"]
        more = [f"and {details['missing_count'] - _SHOWN_VALUES:,} more"] if len(absent) > _SHOWN_VALUES else []
        return f"not there: {', '.join([*map(str, absent[:_SHOWN_VALUES]), *more])}"
    value = details.get("observed_value")
    return None if value is None else str(value)


def _exception(info: Any) -> str | None:
    """The message of what was raised; the library nests it by metric or not."""
    if info.get("raised_exception"):
        return str(info.get("exception_message"))
    nested = [value for value in info.values() if isinstance(value, dict) and value.get("raised_exception")]
    return str(nested[0].get("exception_message")) if nested else None


def _in_words(error: Exception, expectation: Expectation) -> str:
    """What was raised and where; what a declared function says is left out, since it may quote a row."""
    given = [getattr(one, "func", one) for one in (expectation.derive, expectation.bounds)]
    declared = [getattr(one, "__code__", None) for one in given]
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if frame.f_code in declared:
            return f"`{frame.f_code.co_name}` raised {type(error).__name__} in line {line} of its file"
    if isinstance(error, _WrongLengthError):
        return f"`{getattr(given[0], '__name__', 'derive')}` {error}"
    return f"{type(error).__name__}: {_without_values(str(error), expectation)}"[:_TEXT]


def _without_values(message: str, expectation: Expectation) -> str:
    """A message without what it quotes, unless that names a column, an argument or a type: it may be a row's."""
    declared = {value for value in expectation.arguments.values() if isinstance(value, str)}
    named = {*expectation.columns, *expectation.arguments, *declared, *dir(builtins), "Timestamp", "<", ">", "<=", ">="}

    def known(match: re.Match[str]) -> str:
        return match.group(0) if match.group(2) in named else "'...'"

    return re.sub(r"""(['"])(.*?)\1""", known, message, flags=re.DOTALL)
