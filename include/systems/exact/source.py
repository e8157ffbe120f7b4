"""The source that a function is made of, as a hash: another one whenever a line of it changes."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator

from include.errors import ConfigurationError


def source_hash(modules: Iterable[str]) -> str:
    """sha256 over these modules and those of their packages that they import, and so on, in hex.

    Raises ConfigurationError for a module without a source file. Nothing is imported for it but parents.
    """
    texts = dict[str, bytes]()
    left = list(modules)
    homes = tuple(f"{name.rpartition('.')[0]}." for name in left if "." in name)
    while left:
        name = left.pop()
        if name in texts:
            continue
        texts[name] = _text(name)
        left += (one for one in _imported(texts[name], name.rpartition(".")[0]) if one.startswith(homes))
    found = hashlib.sha256()
    for name in sorted(texts):
        found.update(f"{name}\0{len(texts[name])}\0".encode() + texts[name])
    return found.hexdigest()


def _text(name: str) -> bytes:
    found = importlib.util.find_spec(name)
    if found is None or not found.origin or not found.origin.endswith(".py"):
        raise ConfigurationError("has no source file", about=name, action="Declare a function of a module in a file")
    with open(found.origin, "rb") as file:
        return file.read()


def _imported(text: bytes, package: str) -> Iterator[str]:
    """Modules that a text may import, wherever in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            home = f"{'.'.join(package.split('.')[: len(package.split('.')) + 1 - node.level])}." if node.level else ""
            base = f"{home}{node.module or ''}".rstrip(".")
            yield from _existing([base, *(f"{base}.{one.name}" for one in node.names)])


def _existing(names: Iterable[str]) -> Iterator[str]:
    """Those that are modules with a source; the others are names within one."""
    for name in names:
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            continue
        if found is not None and (found.origin or "").endswith(".py"):
            yield name
