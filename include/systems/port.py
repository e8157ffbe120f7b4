"""What every kind of source, engine and sink promises, so that a night works with one it has never heard of.

A use case declares them as frozen data that lies beside its adapter. `open` gives the adapter, which does
the work within one run. What an adapter may know of that run is `Surroundings`: neither the ledger nor Airflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from include.models import Column, Interval, Record, RejectedRow

if TYPE_CHECKING:
    from include.settings import Settings
    from include.systems.connections import Connections
    from include.systems.http import RestClient
    from include.systems.limits.pace import Pace
    from include.systems.registry import System

Guard = Literal["own_fields", "unchanged_since_read", "append_once"]
VERSION = "version"
"""The name, in the lineage of a row, of the token that changes with it: an ETag, a time, a number."""


class Surroundings(Protocol):
    """What an adapter is given of the run that opens it."""

    @property
    def interval(self) -> Interval:
        """The span whose rows are read."""
        ...

    @property
    def run_id(self) -> str:
        """The run on whose behalf the adapter works."""
        ...

    @property
    def settings(self) -> Settings:
        """Settings of the installation."""
        ...

    @property
    def connections(self) -> Connections:
        """Stored connections, opened by kind."""
        ...

    @property
    def personal(self) -> Sequence[str]:
        """Columns that are never quoted."""
        ...

    def system(self, name: str) -> System:
        """An entry of the registry; raises ConfigurationError if there is none."""
        ...

    def pace(self, system: str) -> Pace:
        """Leave for calls to a system, within the limits that all processes share."""
        ...

    def client(self, system: str) -> RestClient:
        """A client of a REST system, within those limits."""
        ...


UNPLACED = ("retrieved_at", VERSION)
"""Names in a row's lineage that stand for no place."""


@dataclass(frozen=True, slots=True)
class Page:
    """What one page gave: rows with `row_id`, `row_key`, `lineage` and every declared column, and rows set aside.

    `row_id` is `<system>/<object>/<id>`, the same whenever the row is read. `lineage` maps the system to the place that
    the row was found at, `retrieved_at` to when, and `version` to the row's version token where the source has one.
    """

    number: int
    rows: list[Record]
    rejected: list[RejectedRow]


class Reader(Protocol):
    """Reads one source within one run; the counts grow as it goes.

    `rows` counts what the source gave, set aside or not; `watermark` is the latest change among it; `facts` are further
    counts for the manifest, by name.
    """

    pages: int
    rows: int
    watermark: datetime | None
    facts: Record

    @property
    def calls(self) -> int:
        """Requests to the system so far, retries included."""
        ...

    @property
    def retries(self) -> int:
        """Requests that were sent again."""
        ...

    def check_contract(self) -> None:
        """Raise ContractBroken for the first declared column that is not there, or is of another type.

        The error names the likely rename. Columns that are there and not declared are no breach; where the source has
        a shape of its own, `facts["other_columns"]` lists them.
        """
        ...

    def read(self, interval: Interval, limit: int | None = None) -> Iterator[Page]:
        """Pages of the rows that belong to the interval, each row once, at most `limit` in all.

        A row that moves out of the interval or into it while this reads hides no other. One that cannot be read is set
        aside with every reason. Raises ContractBroken when rows could be lost, SystemUnavailable and AccessDenied.
        """
        ...

    def read_ids(self, ids: Sequence[str]) -> Iterator[Page] | None:
        """Pages of the records with these ids as they are now; ids that are gone are left out.

        An id is what follows `<system>/<object>/` in a row id. None: this kind of source cannot be read anew.
        """
        ...


class Origin(NamedTuple):
    """A column at its source: the system, the object or folder in it, and its name there."""

    system: str
    object: str
    name: str


class Source(Protocol):
    """Where rows come from, as a use case declares it."""

    @property
    def system(self) -> str:
        """The entry of the registry."""
        ...

    @property
    def object(self) -> str:
        """What is read of it: an object, a table, a folder."""
        ...

    @property
    def key(self) -> Column:
        """The column that names a row to people."""
        ...

    @property
    def declared(self) -> Sequence[Column]:
        """Every column of the rows that it gives, under its name there and here; the key first."""
        ...

    @property
    def changed(self) -> Column | None:
        """The column with the time by which a row belongs to an interval; None where something else decides."""
        ...

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Where each declared column comes from, by its name here."""
        ...

    @property
    def refers(self) -> Mapping[str, str]:
        """Objects of the system whose records are joined onto rows, and the column here with their ids."""
        ...

    def open(self, here: Surroundings) -> Reader:
        """The adapter; raises ConfigurationError for a declaration or connection that cannot work."""
        ...


@dataclass(frozen=True, slots=True)
class Sorted:
    """Whole answers by the position of their row; rows that are not there are left for somebody else.

    `counts` are rows: `decided`, and the others by why they are left, in a word or a few (`doubt`, `out_of_scope`).
    """

    decided: Mapping[int, Record]
    counts: Mapping[str, int]


class Decider(Protocol):
    """Answers rows in the process, before anybody is asked. It has neither a price nor a limit."""

    @property
    def name(self) -> str:
        """What is on record as the model; another one whenever it could answer the same row in another way."""
        ...

    def sort(self, rows: Sequence[Record]) -> Sorted:
        """Answer what it is certain of, as the use case's output takes it; what it leaves is no failure.

        An answer depends on nothing but the columns that its engine declares to read.
        """
        ...


class Engine(Protocol):
    """Who answers in the process, as a use case declares it."""

    @property
    def reads(self) -> Sequence[str]:
        """The columns that an answer is made of; the spec has them among what the model sees."""
        ...

    def open(self, folder: Path, output: Any) -> Decider:
        """The adapter for answers of class `output`; `folder` is the use case's. Raises ConfigurationError."""
        ...


class Belongs(NamedTuple):
    """Records of one owner, the newest first, each with `row_id` and the declared columns.

    `more` says that the owner has others, `unreadable` how many were left out for a value that is not of its column's
    kind.
    """

    rows: Sequence[Record]
    more: bool = False
    unreadable: int = 0


class Lookup(Protocol):
    """Reads what belongs to one owner within one run, from any thread."""

    def check_contract(self) -> None:
        """Raise ContractBroken for the first declared column that is not there, before anything is asked."""
        ...

    def read(self, owner: str, most: int) -> Belongs:
        """The records of the owner as they are now, at most so many; none for an owner that is not there.

        Raises SystemUnavailable, AccessDenied and ContractBroken.
        """
        ...


class Belonging(Protocol):
    """Records that belong to a row, as a use case declares them; the row says whose, and nothing else can."""

    @property
    def system(self) -> str:
        """The entry of the registry."""
        ...

    @property
    def object(self) -> str:
        """What is read of it."""
        ...

    @property
    def owner(self) -> str:
        """The column of the row whose value names whose records are meant."""
        ...

    @property
    def declared(self) -> Sequence[Column]:
        """Every column of a record, under its name there and here; the key first."""
        ...

    def open(self, here: Surroundings) -> Lookup:
        """The adapter; raises ConfigurationError for a declaration or connection that cannot work."""
        ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Values for one record, in the destination's own form.

    `version` is the token that the record must still have (None: whatever it has). `before` is what it held when it was
    read just now (None: there was no such record). `once` is the same whenever this very write is tried again, and
    another for every other write.
    """

    values: Mapping[str, Any]
    once: str
    version: str | None = None
    before: Record | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one record: its state after the write, or the cause of its failure.

    Causes are `rejected_by_destination`, `record_missing`, `changed_since_read` (a person decides), `no_result`, and
    `unknown_ending`: the request may have arrived, and nothing tells whether it did.
    """

    after: Record | None
    cause: str = ""
    detail: str = ""


class Destination(Protocol):
    """Writes to one sink within one run, from any thread."""

    @property
    def batch_rows(self) -> int:
        """Records that are read or sent at a time."""
        ...

    @property
    def in_air(self) -> int:
        """Batches that may be on their way at once."""
        ...

    @property
    def creates(self) -> bool:
        """Whether a record that is not there is made; else such a write fails as `record_missing`."""
        ...

    @property
    def calls(self) -> int:
        """Requests to the system so far, retries included."""
        ...

    @property
    def retries(self) -> int:
        """Requests that were sent again."""
        ...

    def check_contract(self) -> None:
        """Raise ContractBroken for a field that does not exist there or cannot be written, before anything is sent."""
        ...

    def form(self, values: Record) -> Record:
        """Values as the destination stores and gives them back, JSON types only; what the ledger keeps of the write."""
        ...

    def holds(self, current: Record, values: Record) -> bool:
        """Whether a record already holds these values, so that nothing needs to be sent."""
        ...

    def read(self, ids: Sequence[str]) -> Mapping[str, Record] | None:
        """The written fields as they are now, by id, with `version` where there is one; unknown ids are absent.

        None: nothing can be read back here.
        """
        ...

    def send(self, writes: Mapping[str, Outgoing]) -> Mapping[str, Sent]:
        """Write records, by id; a result for each of them. One that is refused does not keep others from being written.

        A write that is sent again under the same `once` is not written twice. Raises SystemUnavailable, AccessDenied,
        and ContractBroken where a refusal is about all records; where nothing can be read back, only if nothing of
        these writes has arrived.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """Where answers go, as a use case declares it; each kind of system adds what it needs, and `open`.

    `fields` maps fields of the answer to names at the destination. `target` says whose id the record there has: the
    row's `key`, or its `id` at its source. `each` names a list in the answer of which every element is one write, under
    that id and its number (`42/1`). `when` says of an answer whether this sink is meant at all; `only_from`, that it is
    for rows of the source `<system>/<object>` alone. `guard` is what keeps a write from hurting somebody else's: only
    we write these fields; the record is as it was when it was read; or what is there cannot be read, so nothing is sent
    of which the ending is unknown, and no run repeats what an earlier one has delivered, word for word. `idempotent`
    says that the destination takes a write once, however often it comes under the same `once`, so that one of which
    the ending is unknown is sent again.
    """

    system: str
    object: str
    fields: Mapping[str, str] = field(default_factory=dict)
    target: Literal["key", "id"] = "key"
    each: str | None = None
    when: Callable[[Record], bool] | None = None
    only_from: str | None = None
    guard: Guard = "own_fields"
    idempotent: bool = False

    @property
    def place(self) -> str:
        """What it writes to, as people name it: `<system>/<object>`."""
        return f"{self.system}/{self.object}"

    def open(self, here: Surroundings) -> Destination:
        """The adapter; raises ConfigurationError for a declaration or connection that cannot work."""
        raise NotImplementedError
