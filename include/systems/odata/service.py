"""One entity set of an OData v4 service: its schema, its pages, its records.

https://docs.oasis-open.org/odata/odata/v4.01/odata-v4.01-part1-protocol.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from include.errors import ContractBroken
from include.models import Record
from include.systems.files.formats.values import explain_missing
from include.systems.http import Reply, RestClient, message_of, scrub_message
from include.systems.network import origin
from include.systems.odata.keys import Key, Keys, encoded
from include.systems.odata.schema import MAX_BYTES, EntityType, NotCsdl, Schema, read_schema
from include.systems.registry import System

JSON = "application/json;odata.metadata=minimal;IEEE754Compatible=true"
"""Long numbers come as texts, so that none loses a digit on its way (JSON format, 3.2)."""
READS = {"Accept": JSON, "OData-MaxVersion": "4.0"}
_MOST_EMPTY = 100
"""Empty pages in a row; a service may give some, where it filters after it has paged."""
BY_LINKS = "Check the service's paging, or declare paging='key'"


class Answer(NamedTuple):
    """One page: its records, and where the service says that it goes on."""

    items: list[Record]
    link: str | None


@dataclass
class Service:
    """Calls about one entity set, from any thread."""

    client: RestClient
    system: System
    object: str

    @cached_property
    def schema(self) -> Schema:
        """What `$metadata` says; read once. Raises ContractBroken for what is no CSDL."""
        headers = {"Accept": "application/xml", "OData-MaxVersion": "4.0"}
        document = self.client.call("GET", "$metadata", headers=headers, raw_bytes=MAX_BYTES).body
        try:
            return read_schema(document)
        except NotCsdl as error:
            action = f"Check that connection `{self.system.connection}` ends at the service's root"
            raise ContractBroken(str(error), system=self.system.name, about="$metadata", action=action) from error

    @cached_property
    def entity(self) -> EntityType:
        """The type of the set's entities; raises ContractBroken if the service has no such set."""
        if self.object not in self.schema.sets:
            raise self.broken(f"{explain_missing(self.object, self.schema.sets)} among the entity sets")
        found = self.schema.type(self.schema.sets[self.object])
        if found is None:
            raise self.broken("its type is not in $metadata")
        return found

    def keys(self, declared: Sequence[str]) -> Keys:
        """The key properties and their types; raises ContractBroken if they are not the declared ones."""
        if list(self.entity.keys) != list(declared):
            problem = f"the key is {', '.join(self.entity.keys) or 'unknown'}, not {', '.join(declared)}"
            raise self.broken(problem, "Correct the keys that the use case declares")
        lacking = [name for name in declared if name not in self.entity.properties]
        if lacking:
            raise self.broken(f"the key {', '.join(lacking)} is no property of its own")
        return Keys({name: self.edm(self.entity.properties[name].type) for name in declared})

    def edm(self, type_name: str) -> str:
        """The Edm type of a property's type."""
        return self.schema.primitive(type_name)

    def page(self, options: Mapping[str, Any], headers: Mapping[str, str] = READS) -> Answer:
        """The first page of a query."""
        query = "&".join(f"{name}={encoded(value)}" for name, value in options.items() if value not in (None, ""))
        return self._answer(self.client.call("GET", f"{self.object}?{query}", headers=headers))

    def follow(self, link: str, headers: Mapping[str, str] = READS) -> Answer:
        """The page behind a next link; raises ContractBroken for one that leaves the service.

        The credential goes with every call, so it must not go anywhere else. A link may be relative to the page.
        """
        root = self.client.base_url.rstrip("/") + "/"
        target = urljoin(f"{root}{self.object}", link)
        if origin(target) != origin(root):
            problem = f"a next link leads to {origin(target)}, away from {origin(root)}"
            raise self.broken(problem, f"Nothing was sent there. {BY_LINKS}")
        if not target.startswith(root) or ".." in unquote(urlsplit(target).path).split("/"):
            raise self.broken("a next link leads out of the service's root", BY_LINKS)
        return self._answer(self.client.call("GET", target.removeprefix(root), headers=headers))

    def pages(
        self, options: Mapping[str, Any], headers: Mapping[str, str] = READS, most: int | None = None
    ) -> Iterator[list[Record]]:
        """All pages of a query by the service's own links; raises ContractBroken for links without end.

        `most` are the rows that there can be.
        """
        answer, trail = self.page(options, headers), Trail(self, most)
        yield answer.items
        while answer.link:
            answer = trail.follow(answer, headers)
            yield answer.items

    def key_of(self, keys: Keys, item: Record) -> Key:
        """The key of a record that came; raises ContractBroken where it has none."""
        try:
            return keys.of_row(item)
        except ValueError as error:
            raise self.broken(f"a row without its key ({error})") from error

    def path_of(self, keys: Keys, key: Key) -> str:
        """The path of one record."""
        return f"{self.object}{keys.predicate(key)}"

    def broken(self, problem: str, action: str = "Correct the use case's spec, or ask the owner") -> ContractBroken:
        """An error about this entity set."""
        return ContractBroken(problem, system=self.system.name, about=self.object, action=action)

    def _answer(self, reply: Reply) -> Answer:
        body = reply.body
        items = body.get("value") if isinstance(body, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            said = scrub_message(message_of(body), None)
            raise self.broken(f"`value` is not what OData promises {said}".rstrip(), "Look at the service's own log")
        link = body.get("@odata.nextLink", body.get("@nextLink"))
        return Answer(items, str(link) if link else None)


@dataclass
class Trail:
    """Next links that are followed one after the other, though not for ever.

    `most` are the rows that there can be; where nobody knows, whoever reads has to see that rows come again.
    """

    service: Service
    most: int | None = None
    _rows: int = 0
    _empty: int = 0

    def follow(self, answer: Answer, headers: Mapping[str, str] = READS) -> Answer:
        """The page after this one; raises ContractBroken where the pages might never end."""
        self._rows += len(answer.items)
        self._empty = 0 if answer.items else self._empty + 1
        if self.most is not None and self._rows > self.most:
            raise self.service.broken(f"more than the {self.most} rows that were asked for", BY_LINKS)
        if self._empty > _MOST_EMPTY:
            raise self.service.broken("next links lead through empty pages, so the pages might never end", BY_LINKS)
        return self.service.follow(str(answer.link), headers)


def etag(item: Record) -> str | None:
    """A record's version token, weak or strong, just as it has to go back; None where the set has none."""
    found = item.get("@odata.etag", item.get("@etag"))
    return str(found) if found else None
