"""Folders of the staging place, which may be a disk or an object store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Any, Literal, Self, cast

from upath import UPath

from include.errors import AccessDenied, ConfigurationError, NightledgerError, SystemUnavailable

Right = Literal["write", "read"]
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci"})


def reach(place: Any) -> None:
    """Make a folder and its parents where the storage has folders; an object store only needs its client.

    Raises ConfigurationError if that client is not installed.
    """
    try:
        if place.protocol in _OBJECT_STORES:
            _ = place.fs
        else:
            place.mkdir(parents=True, exist_ok=True)
    except ImportError as error:
        raise ConfigurationError(
            f"the client for {place.protocol}:// is not installed",
            about="NIGHTLEDGER_STAGING",
            action="Install it; for S3: pip install -c constraints.txt -r requirements-s3.txt",
        ) from error


@contextmanager
def reaching(place: Any, right: Right) -> Iterator[None]:
    """Turn what an object store or its client refuses within the block into an error that says what to grant.

    Raises AccessDenied where a right or the credential is missing, ConfigurationError for a bucket that is not there to
    write to, SystemUnavailable for a store that cannot be reached. What a disk says goes through as it is.
    """
    try:
        yield
    except Exception as error:
        known = _cause(place, right, error) if getattr(place, "protocol", "") in _OBJECT_STORES else None
        if known is None:
            raise
        raise known from error


def open_object(place: Any, mode: str, **more: Any) -> IO[Any]:
    """Open an object for writing, as `open` does; what is refused, then or later, is raised as `reaching` says."""
    with reaching(place, "write"):
        return cast("IO[Any]", _Object(place, place.open(mode, **more)))


class _Object:
    """An object that is being written; most stores refuse it only when it is closed."""

    def __init__(self, place: Any, handle: Any) -> None:
        self._place, self._handle = place, handle

    def write(self, data: Any) -> int:
        with reaching(self._place, "write"):
            return int(self._handle.write(data))

    def flush(self) -> None:
        with reaching(self._place, "write"):
            self._handle.flush()

    def close(self) -> None:
        with reaching(self._place, "write"):
            self._handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _cause(place: Any, right: Right, error: Exception) -> NightledgerError | None:
    """The error by its real cause, without the client's own words; None for one that is not the store's."""
    store, _, name = place.path.partition("/")
    system, kind = f"{place.protocol}://{store}", type(error).__name__
    said = getattr(error.__cause__, "response", None) or {}
    code = str(said.get("Error", {}).get("Code") or kind)
    if isinstance(error, PermissionError):
        problem = f"the store refused to {right} the object ({code})"
        return AccessDenied(problem, system=system, about=name, action=_grant(place, right))
    if isinstance(error, FileNotFoundError) and right == "write":
        action = "Make it, or correct NIGHTLEDGER_STAGING"
        return ConfigurationError("there is no such bucket", system=system, about=name, action=action)
    if not type(error).__module__.startswith("botocore"):
        return None
    if "Credentials" in kind or "Token" in kind:
        action = "Give this machine a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        return AccessDenied(f"the store's client has no credential ({kind})", system=system, about=name, action=action)
    return SystemUnavailable(f"the store cannot be reached ({kind})", system=system, about=name, action="Retry later")


def _grant(place: Any, right: Right) -> str:
    """What the owner of the store must do; a read needs two, since without the second "gone" is told as "refused"."""
    if place.protocol not in ("s3", "s3a"):
        return f"Grant the credential of this machine the right to {right} and list objects there"
    needed = {"write": "s3:PutObject on it", "read": "s3:GetObject on it and s3:ListBucket on its bucket"}[right]
    return f"Grant the credential of this machine {needed}"


def list_names(folder: UPath) -> list[str]:
    """The names in a folder as they are now, sorted; clients of object stores remember what they once listed."""
    folder.fs.invalidate_cache(folder.path)
    return sorted(file.name for file in folder.iterdir())
