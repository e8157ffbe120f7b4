"""References to files that are never in a row, and the way back to the very same bytes."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

from include.errors import ContractBroken
from include.systems.documents.place import Where, open_place
from include.systems.port import Surroundings


def blob_uri(where: Where, system: str, folder: str, name: str) -> str:
    """A file by the system of the registry that holds it, e.g. `sftp://invoices/in/7.pdf`."""
    return f"{where}://{system}/{quote(folder)}/{quote(name, safe='', errors='surrogateescape')}"


def fetch_blob(here: Surroundings, uri: str, sha256: str, into: Path) -> None:
    """Copy the file that a row refers to.

    Raises ContractBroken if it is gone or is not the one that was read, AccessDenied, SystemUnavailable.
    """
    scheme, _, rest = uri.partition("://")
    system, _, place = rest.partition("/")
    folder, _, quoted = place.rpartition("/")
    name, where = unquote(quoted, errors="surrogateescape"), _WHERE.get(scheme)
    if where is None or not name:
        raise ContractBroken("is no reference to a file", about="uri")
    with open_place(here, system, unquote(folder), where) as opened:
        seen = opened.look_at([name]).get(name)
        found = opened.copy(name, seen, into) if seen else ""
    if found != sha256:
        into.unlink(missing_ok=True)
        problem = "was changed since it was read" if found else "is gone"
        raise ContractBroken(f"{name} {problem}", system=system, about=unquote(folder), action="Read the row anew")


_WHERE: dict[str, Where] = {"sftp": "sftp", "local": "local"}
