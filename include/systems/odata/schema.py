"""What a service's `$metadata` says of its entity sets: CSDL XML, read without ever following what it names.

https://docs.oasis-open.org/odata/odata-csdl-xml/v4.01/odata-csdl-xml-v4.01.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from xml.etree import ElementTree

_TYPES = ("EntityType", "ComplexType")
_READ_ONLY = (".Computed", ".Permissions")
MAX_BYTES = 64 * 2**20
"""Of a `$metadata`; the largest known, of Dynamics 365 Finance and Operations, has some tens of megabytes."""


class NotCsdl(ValueError):
    """The document cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Property:
    """A property: its Edm type, digits after the point (None: not said), and whether only the service sets it."""

    type: str
    scale: int | None = None
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Navigation:
    """A property that leads to one entity of a type, or to many."""

    type: str
    many: bool


@dataclass(frozen=True, slots=True)
class EntityType:
    """An entity or complex type; what it inherits is included where `Schema.type` gives it."""

    base: str = ""
    keys: tuple[str, ...] = ()
    properties: Mapping[str, Property] = field(default_factory=dict)
    navigations: Mapping[str, Navigation] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Schema:
    """Entity sets with the names of their types, types by qualified name, and namespaces by alias."""

    sets: Mapping[str, str]
    types: Mapping[str, EntityType]
    definitions: Mapping[str, str]
    aliases: Mapping[str, str]

    def type(self, name: str) -> EntityType | None:
        """A type with everything that it inherits; None where the document has no such type."""
        chain: list[EntityType] = []
        while (found := self.types.get(self.qualified(name))) and found not in chain:
            chain.append(found)
            name = found.base
        whole = None
        for one in reversed(chain):
            whole = one if whole is None else _derived(whole, one)
        return whole

    def primitive(self, name: str) -> str:
        """The Edm type under a type definition; any other name unchanged."""
        return self.definitions.get(self.qualified(name), name)

    def qualified(self, name: str) -> str:
        """A type's name under its namespace, where the document uses an alias."""
        namespace, _, last = name.rpartition(".")
        return f"{self.aliases.get(namespace, namespace)}.{last}"


def _derived(base: EntityType, own: EntityType) -> EntityType:
    properties = {**base.properties, **own.properties}
    return replace(
        own, keys=base.keys + own.keys, properties=properties, navigations={**base.navigations, **own.navigations}
    )


def read_schema(document: bytes) -> Schema:
    """Read a CSDL document; raises NotCsdl for what is none, or has a document type (no CSDL has, every bomb does).

    It is looked for in the bytes, since expat reads on to the end of what it was given, whatever a handler raises.
    """
    if b"\0" in document[:4]:
        raise NotCsdl("is no XML in UTF-8")
    if b"<!DOCTYPE" in document:
        raise NotCsdl("has a document type, which CSDL does not know")
    collected = _Collected()
    parser = ElementTree.XMLParser(target=collected)  # noqa: S314 - entities need a document type, which is refused
    try:
        parser.feed(document)
        parser.close()
    except ElementTree.ParseError as error:
        raise NotCsdl(f"is no XML ({error.msg})") from error
    if not collected.sets:
        raise NotCsdl("has no entity set")
    return collected.schema()


class _Collected:
    """What is kept of the document while it is read, so that a large one needs no tree in memory."""

    def __init__(self) -> None:
        self.sets: dict[str, str] = {}
        self.types: dict[str, EntityType] = {}
        self.definitions: dict[str, str] = {}
        self.aliases: dict[str, str] = {}
        self._namespace = self._type = self._property = self._target = ""
        self._keys: list[str] = []
        self._base = ""
        self._read_only: list[str] = []
        self._properties: dict[str, Property] = {}
        self._navigations: dict[str, Navigation] = {}

    def start(self, tag: str, given: dict[str, str]) -> None:
        """An element begins."""
        name, called = tag.rpartition("}")[2], given.get("Name", "")
        if name == "Schema":
            self._namespace = given.get("Namespace", "")
            if "Alias" in given:
                self.aliases[given["Alias"]] = self._namespace
        elif name in _TYPES:
            self._type, self._base = called, given.get("BaseType", "")
            self._keys, self._properties, self._navigations = [], {}, {}
        elif name == "PropertyRef":
            self._keys.append(called)
        elif name == "Property":
            self._property = called
            scale = given.get("Scale", "")
            self._properties[called] = Property(given.get("Type", ""), int(scale) if scale.isdecimal() else None)
        elif name == "NavigationProperty":
            leads, many = _element(given.get("Type", ""))
            self._navigations[called] = Navigation(leads, many)
        elif name == "EntitySet":
            self.sets[called] = given.get("EntityType", "")
        elif name == "TypeDefinition":
            self.definitions[f"{self._namespace}.{called}"] = given.get("UnderlyingType", "")
        elif name == "Annotations":
            self._target = given.get("Target", "")
        elif name == "Annotation" and _is_read_only(given):
            self._annotate()

    def end(self, tag: str) -> None:
        """An element ends."""
        name = tag.rpartition("}")[2]
        if name in _TYPES:
            found = EntityType(self._base, tuple(self._keys), self._properties, self._navigations)
            self.types[f"{self._namespace}.{self._type}"] = found
            self._type = ""
        elif name == "Property":
            self._property = ""
        elif name == "Annotations":
            self._target = ""

    def close(self) -> None:
        """The document is over."""

    def _annotate(self) -> None:
        """Mark as read-only the property that the annotation stands in, or note the one that its list is about."""
        if self._type and self._property:
            self._properties[self._property] = replace(self._properties[self._property], read_only=True)
        else:
            self._read_only.append(self._target)

    def schema(self) -> Schema:
        """What was collected; annotations may stand before what they are about."""
        whole = Schema(self.sets, self.types, self.definitions, self.aliases)
        for target in self._read_only:
            owner, _, name = target.partition("/")
            owner = whole.qualified(owner)
            found = self.types.get(owner)
            if found and name in found.properties:
                marked = {**found.properties, name: replace(found.properties[name], read_only=True)}
                self.types[owner] = replace(found, properties=marked)
        return whole


def _element(type_name: str) -> tuple[str, bool]:
    """The type of which a collection is, or the type itself; and whether it is a collection."""
    if type_name.startswith("Collection("):
        return type_name.removeprefix("Collection(").removesuffix(")"), True
    return type_name, False


def _is_read_only(annotation: Mapping[str, str]) -> bool:
    """Whether an annotation says that the service alone sets a property.

    Terms `Computed` and `Permissions` of https://github.com/oasis-tcs/odata-vocabularies (Org.OData.Core.V1).
    """
    term = annotation.get("Term", "")
    if term.endswith(_READ_ONLY[0]):
        return annotation.get("Bool", "true") == "true"
    return term.endswith(_READ_ONLY[1]) and annotation.get("EnumMember", "").endswith("Permission/Read")
