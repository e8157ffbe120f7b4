"""The vendor's files: uploaded or made, each on disk beside a journal that says whose it is.

https://platform.openai.com/docs/api-reference/files
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, web

from include.demo.sandbox.journal import Journal, read_journal
from include.demo.sandbox.model import shapes
from include.demo.sandbox.model.door import Owner, for_key, page
from include.demo.sandbox.model.shapes import ModelError

MAX_FILE_BYTES = 512 * 2**20
_CHUNK_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class Stored:
    """One file; `owner` is the key it belongs to, as in bills; `created_at` in epoch seconds."""

    id: str
    owner: str
    filename: str
    purpose: str
    bytes: int
    created_at: int

    def shown(self) -> dict[str, Any]:
        """The vendor's file object."""
        values = asdict(self)
        del values["owner"]
        return {**values, "object": "file", "status": "processed"}


class Files:
    """What is stored; a file is on record only after its content is on disk."""

    def __init__(self, folder: Path) -> None:
        """Replay the journal in `folder`, then append to it; contents lie in `folder/files`."""
        self._folder = folder / "files"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._known: dict[str, Stored] = {}
        for entry in read_journal(folder / "files.jsonl"):
            if "deleted" in entry:
                self._known.pop(entry["deleted"], None)
            else:
                self._known[entry["id"]] = Stored(**entry)
        self._journal = Journal(folder / "files.jsonl")

    def path(self, number: str) -> Path:
        """Where the content of a file is, or is to be written."""
        return self._folder / f"{number}.jsonl"

    def keep(self, number: str, owner: str, filename: str, purpose: str) -> Stored:
        """Put a file on record whose content lies at its path."""
        stored = Stored(number, owner, filename, purpose, self.path(number).stat().st_size, int(time.time()))
        self._journal.append(asdict(stored))
        self._known[number] = stored
        return stored

    def find(self, number: str, owner: str) -> Stored:
        """One file of a key; raises ModelError 404."""
        stored = self._known.get(number)
        if stored is None or stored.owner != owner:
            raise shapes.no_such("File object", number)
        return stored

    def of(self, owner: str) -> list[Stored]:
        """The files of a key, newest first."""
        return [stored for stored in reversed(self._known.values()) if stored.owner == owner]

    def delete(self, number: str, owner: str) -> None:
        """Forget a file and its content; raises ModelError 404."""
        self.find(number, owner)
        self._journal.append({"deleted": number})
        del self._known[number]
        self.path(number).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()


@dataclass(frozen=True)
class FileApi:
    """The routes of files; `refuse` says whether the next upload fails with 500."""

    files: Files
    owner: Owner
    refuse: Callable[[], bool]

    def routes(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_post("/v1/files", for_key(self.owner, self._upload))
        app.router.add_get("/v1/files", for_key(self.owner, self._list))
        app.router.add_get("/v1/files/{id}", for_key(self.owner, self._show))
        app.router.add_get("/v1/files/{id}/content", for_key(self.owner, self._content))
        app.router.add_delete("/v1/files/{id}", for_key(self.owner, self._delete))

    async def _upload(self, request: web.Request, owner: str) -> web.StreamResponse:
        if not request.content_type.startswith("multipart/"):
            raise ModelError(400, "Files are uploaded as multipart/form-data.")
        number, purpose, filename = f"file-{uuid.uuid4().hex[:24]}", "", ""
        try:
            async for part in await request.multipart():
                if isinstance(part, BodyPartReader) and part.name == "purpose":
                    purpose = (await part.text()).strip()
                elif isinstance(part, BodyPartReader) and part.name == "file":
                    filename = part.filename or "file"
                    await self._receive(part, self.files.path(number))
            if self.refuse():
                raise shapes.server_error(500)
            if purpose != "batch" or not filename:
                raise ModelError(400, "Here a file is needed, with purpose `batch`.", param="purpose")
            return web.json_response(self.files.keep(number, owner, filename, purpose).shown())
        except BaseException:
            self.files.path(number).unlink(missing_ok=True)
            raise

    async def _receive(self, part: BodyPartReader, path: Path) -> None:
        size = 0
        with path.open("wb") as file:
            while chunk := await part.read_chunk(_CHUNK_BYTES):
                size += len(chunk)
                if size > MAX_FILE_BYTES:
                    raise ModelError(413, f"The file is too large; at most {MAX_FILE_BYTES} bytes.", param="file")
                file.write(chunk)

    async def _list(self, request: web.Request, owner: str) -> web.StreamResponse:
        purpose = request.query.get("purpose")
        return page(request, [one.shown() for one in self.files.of(owner) if purpose in (None, one.purpose)])

    async def _show(self, request: web.Request, owner: str) -> web.StreamResponse:
        return web.json_response(self.files.find(request.match_info["id"], owner).shown())

    async def _content(self, request: web.Request, owner: str) -> web.StreamResponse:
        stored = self.files.find(request.match_info["id"], owner)
        return web.FileResponse(self.files.path(stored.id), headers={"Content-Type": "application/octet-stream"})

    async def _delete(self, request: web.Request, owner: str) -> web.StreamResponse:
        number = request.match_info["id"]
        self.files.delete(number, owner)
        return web.json_response({"id": number, "object": "file", "deleted": True})
