"""Rules that are a query: DuckDB runs it over the staged Parquet and returns the numbers of the failing rows.

The database is in memory, sees the rows and the files that the query names, and nothing else: no other file, no
network, no setting. A query is one SELECT, within a limit of memory and of time.
"""

from __future__ import annotations

import json
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from upath import UPath

from include.errors import NightledgerError
from include.models import Manifest
from include.quality.expectation import Expectation
from include.quality.gx import Evaluated
from include.quality.references import stage_reference
from include.staging import opened, part_of, read_chunks, read_schema

if TYPE_CHECKING:
    import duckdb
    import numpy as np

ROWS, ROW, OWN_ROW = "rows", "row", "own_row"
"""What a query selects from, the number of a row there, and the name of a column of the data that is called `row`."""
MEMORY_MB, SPILL_MB, THREADS, SECONDS = 256, 4_096, 2, 300.0
"""What one query may take; what does not fit in memory goes to a temporary folder."""
_BATCH = 65_536
_TEXT = 300
_ABOUT_THE_QUERY = ("BinderException", "CatalogException", "ParserException", "PermissionException")
"""Errors that are raised before any value is looked at, so that their words cannot hold one."""


class _RefusedError(ValueError):
    """A query that is not one that names rows, in words."""


def judge_query(expectation: Expectation, data: Manifest) -> Evaluated:
    """The rows that the query of a `sql` rule returns; one that fails is not run, in words without values of rows."""
    import duckdb

    try:
        with tempfile.TemporaryDirectory(prefix="nightledger-") as folder:
            positions = _failing(expectation, data, Path(folder))
    except _RefusedError as error:
        return Evaluated(False, could_not_run=str(error))
    except duckdb.Error as error:
        return Evaluated(False, could_not_run=_in_words(error))
    return Evaluated(not positions, positions, about_rows=True)


def _failing(expectation: Expectation, data: Manifest, folder: Path) -> list[int]:
    query = _one_select(str(expectation.arguments["query"]))
    named = _tables(query)
    others = sorted(name for name in named if name.lower() != ROWS)
    if len(others) == len(named):
        raise _RefusedError(f"the query does not select from `{ROWS}`")
    files = {name: _staged_file(expectation, name, folder / str(at)) for at, name in enumerate(others)}
    with _reachable(data, folder) as (place, first), _database(folder, [place, *files.values()]) as database:
        _create_rows(database, data, place, first)
        for name, path in files.items():
            database.execute(f"CREATE VIEW {_name(name)} AS SELECT * FROM read_parquet({_text(str(path))})")
        database.execute("SET enable_external_access = false")
        database.execute("SET lock_configuration = true")
        return _positions(database, query, part_of(data)[1])


def _one_select(query: str) -> str:
    """The query, proven to be one SELECT, without its semicolon."""
    import duckdb

    with duckdb.connect(config=closed()) as blank:
        statements = blank.extract_statements(query)
    if len(statements) != 1:
        raise _RefusedError(f"a rule is one SELECT, and these are {len(statements)} statements")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise _RefusedError(f"a rule is one SELECT, and this is {kind.name}")
    written = query.encode()
    ends = [at for at, kind in duckdb.tokenize(query) if kind == duckdb.token_type.operator and written[at] == ord(";")]
    return written[: ends[0]].decode() if ends else query


def _tables(query: str) -> set[str]:
    """What the query selects from, by name, but for what it names itself by WITH."""
    import duckdb

    with duckdb.connect(config=closed()) as blank:
        ((parsed,),) = blank.execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchall()
    nodes = list(_nodes(json.loads(parsed)))
    own = {entry["key"] for node in nodes for entry in (node.get("cte_map") or {}).get("map", ())}
    return {node["table_name"] for node in nodes if node.get("type") == "BASE_TABLE"} - own


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
    for below in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(below)


def closed() -> dict[str, Any]:
    """Settings of a database that loads nothing and takes nothing from this process."""
    return {
        "threads": THREADS,
        "memory_limit": f"{MEMORY_MB}MB",
        "max_temp_directory_size": f"{SPILL_MB}MB",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "python_enable_replacements": False,
    }


@contextmanager
def _database(folder: Path, places: list[Path]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database that may read these files and spill to a folder; whoever takes too long is interrupted."""
    import duckdb

    with duckdb.connect(config={**closed(), "temp_directory": str(folder / "spill")}) as database:
        listed = ", ".join(_text(str(place)) for place in places)
        database.execute(f"SET allowed_paths = [{listed}]")
        database.execute("SET TimeZone = 'UTC'")
        stop = threading.Timer(SECONDS, database.interrupt)
        stop.daemon = True
        stop.start()
        try:
            yield database
        finally:
            stop.cancel()


@contextmanager
def _reachable(data: Manifest, folder: Path) -> Iterator[tuple[Path, int]]:
    """The staged file on this machine, proven, and the number of rows in it before the dataset's first."""
    path = UPath(data.uri)
    if path.protocol in ("", "file", "local"):
        with opened(data):
            yield Path(path.path), part_of(data)[0]
        return
    copy = folder / "rows.parquet"
    with pq.ParquetWriter(copy, read_schema(data), compression="lz4") as writer:
        for batch in read_chunks(data, rows=_BATCH):
            writer.write_batch(batch)
    yield copy, 0


def _create_rows(database: duckdb.DuckDBPyConnection, data: Manifest, place: Path, first: int) -> None:
    """The view of the rows, each with its number from 0."""
    own = next((name for name in data.columns if name.lower() == ROW), None)
    renamed = f"RENAME ({_name(own)} AS {OWN_ROW})" if own else ""
    last = first + part_of(data)[1]
    columns = f"* EXCLUDE (file_row_number) {renamed}, file_row_number - {first} AS {_name(ROW)}"
    within = f"file_row_number >= {first} AND file_row_number < {last}"
    staged = f"read_parquet({_text(str(place))}, file_row_number = true)"
    database.execute(f"CREATE VIEW {ROWS} AS SELECT {columns} FROM {staged} WHERE {within}")


def _staged_file(expectation: Expectation, name: str, folder: Path) -> Path:
    """A file that the query names, staged as `check` reads it; relative to the folder of the rules."""
    place = Path(str(expectation.arguments["folder"])) / name
    if not Path(name).suffix:
        raise _RefusedError(f"there is no table {name!r}; the data is `{ROWS}`, other files are named in quotes")
    folder.mkdir()
    try:
        return Path(UPath(stage_reference(place, folder).rows.uri).path)
    except NightledgerError as error:
        raise _RefusedError(str(error)[:_TEXT]) from error


def _positions(database: duckdb.DuckDBPyConnection, query: str, rows: int) -> list[int]:
    """The numbers in the query's column `row`, each once and in order."""
    import numpy as np

    asked = database.sql(query)
    columns = [name.lower() for name in asked.columns]
    if ROW not in columns:
        raise _RefusedError(f"the query returns no column `{ROW}`, the number of a failing row")
    at = columns.index(ROW)
    if "INT" not in str(asked.types[at]):
        raise _RefusedError(f"`{ROW}` is of type {asked.types[at]}, and not the number of a row")
    failing = np.zeros(rows, bool)
    names = ", ".join(f"c{number}" for number in range(len(columns)))  # a query may return two columns of one name
    for batch in database.sql(f"SELECT c{at}::BIGINT FROM ({query}\n) AS asked({names})").to_arrow_reader(_BATCH):
        _mark(failing, batch.column(0))
    return [int(at) for at in failing.nonzero()[0]]


def _mark(failing: np.ndarray, numbers: Any) -> None:
    if numbers.null_count:
        raise _RefusedError(
            f"the query returns a `{ROW}` without a number, as an outer join does; select from `{ROWS}` first"
        )
    found = numbers.to_numpy()
    if len(found) and (found.min() < 0 or found.max() >= len(failing)):
        raise _RefusedError(f"the query returns a `{ROW}` that is the number of no row")
    failing[found] = True


def _in_words(error: Exception) -> str:
    """What went wrong; where values of rows had been looked at, only of which kind it is."""
    kind = type(error).__name__
    if kind in _ABOUT_THE_QUERY:
        first = str(error).partition("\n\nLINE")[0]
        return re.sub(r"\s+", " ", first)[:_TEXT]
    said = {
        "ConversionException": "a value cannot be converted; TRY_CAST gives no value instead",
        "OutOfRangeException": "a number is out of the range of its type",
        "OutOfMemoryException": f"it takes more than {MEMORY_MB} MB of memory and {SPILL_MB:,} MB on disk",
        "InterruptException": f"it takes longer than {SECONDS:g} s",
    }.get(kind)
    return f"the query failed ({kind})" if said is None else f"the query failed: {said}"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
