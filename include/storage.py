"""Folders of the staging place, which may be a disk or an object store."""

from __future__ import annotations

from typing import Any

from upath import UPath

from include.errors import ConfigurationError

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


def list_names(folder: UPath) -> list[str]:
    """The names in a folder as they are now, sorted; clients of object stores remember what they once listed."""
    folder.fs.invalidate_cache(folder.path)
    return sorted(file.name for file in folder.iterdir())
