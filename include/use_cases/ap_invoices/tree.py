"""XML as a tree in which elements are found by their names; no entity is ever expanded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from include.systems.exact.declared import Left

LONGEST = 2_000_000
"""Characters; an e-invoice of a thousand lines has about a million."""

__all__ = ["Element", "children", "first", "need", "parse", "text"]


class _Plain(TreeBuilder):
    """Refuses a document type, where entities are defined."""

    def doctype(self, *_: object) -> None:
        raise Left("document_type")


def parse(source: str) -> Element:
    """The root; raises Left for what is too long, has a document type, or is not well-formed."""
    if len(source) > LONGEST:
        raise Left("too_long")
    parser = XMLParser(target=_Plain())  # noqa: S314 - without a document type there is no entity to expand
    try:
        parser.feed(source)
        root: Element = parser.close()
    except ParseError as error:
        raise Left("broken_xml") from error
    return root


def name(element: Element) -> str:
    """An element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def namespace(element: Element) -> str:
    """The namespace of an element."""
    return element.tag.rpartition("}")[0].removeprefix("{")


def children(element: Element | None, path: str) -> Iterator[Element]:
    """Elements under a path of names, whatever their namespace; `A|B` stands for either of them."""
    if element is not None:
        for one in _paths(path):
            yield from element.iterfind(one)


def first(element: Element | None, path: str) -> Element | None:
    """The first of them."""
    return next(children(element, path), None)


def text(element: Element | None, path: str) -> str | None:
    """The words of the first of them that has any, with single spaces."""
    for one in children(element, path):
        if said := " ".join((one.text or "").split()):
            return said
    return None


def need(element: Element | None, path: str, what: str) -> str:
    """The same; raises Left where there are none."""
    found = text(element, path)
    if found is None:
        raise Left(f"no_{what}")
    return found


@lru_cache(maxsize=512)
def _paths(path: str) -> tuple[str, ...]:
    made = [""]
    for part in path.split("/"):
        made = [f"{before}/{{*}}{one}" if before else f"{{*}}{one}" for before in made for one in part.split("|")]
    return tuple(made)
