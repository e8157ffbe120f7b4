"""What a question is about, found among many texts by BM25 and given to the row with its references."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from include.canonical import canonical
from include.errors import ConfigurationError
from include.models import Kind, Record
from include.spec.reshape import find_function, require
from include.spec.text.pieces import Cut
from include.spec.transforms import Applied, added
from include.systems.text.tokens import terms

_MOST_TERMS = 1_000
"""Of a question; the first ones count."""
_DIGITS = 4
"""Of a score behind the point, which is held in 32 bits."""


class Passage(NamedTuple):
    """A text that can be found: the id of what it is from, its page, and the characters it takes up there."""

    id: str
    text: str
    page: int = 1
    start: int = 0
    end: int = 0


class Index:
    """Passages by their words: BM25 (Lucene's form, k1 = 1.5, b = 0.75), as https://arxiv.org/abs/2407.03618 has it.

    Held in memory: the passages, and 8 bytes for each word of each passage.
    """

    def __init__(self, passages: Iterable[Passage]) -> None:
        import bm25s  # type: ignore[import-untyped]

        logging.getLogger("bm25s").setLevel(logging.WARNING)  # it would log a line for every index
        self.passages = sorted(passages)
        words = [terms(passage.text) for passage in self.passages]
        self._scores: Any = bm25s.BM25() if any(words) else None
        if self._scores is not None:
            self._scores.index(words, show_progress=False)

    def find(self, question: str, k: int) -> list[tuple[Passage, float]]:
        """At most `k` passages with a word of the question, the best first; equal ones by id and place."""
        import numpy as np

        asked = terms(question)[:_MOST_TERMS]
        if self._scores is None or not asked:
            return []
        scores = np.round(self._scores.get_scores(asked), _DIGITS)
        best = np.argsort(-scores, kind="stable")[:k]
        return [(self.passages[at], round(float(scores[at]), _DIGITS)) for at in best if scores[at] > 0]

    @property
    def sha256(self) -> str:
        """Over all passages, so that a row can tell by which texts its context was found."""
        found = hashlib.sha256()
        for passage in self.passages:
            found.update(canonical(list(passage)).encode())
        return found.hexdigest()


@dataclass(frozen=True, slots=True)
class Own:
    """The row's own text in column `of`, cut into pieces; a reference then names the row, or what column `id` holds."""

    of: str
    id: str = "row_key"
    cut: Cut = field(default_factory=Cut)


@dataclass(frozen=True, slots=True)
class Texts:
    """Text files of a folder, cut into pieces; a reference names the file within the folder."""

    folder: Path
    pattern: str = "**/*.md"
    cut: Cut = field(default_factory=Cut)

    def __call__(self) -> Iterator[Passage]:
        """The passages of all files; raises ConfigurationError for a file that is no UTF-8 text."""
        for file in sorted(self.folder.glob(self.pattern)):
            name = file.relative_to(self.folder).as_posix()
            try:
                text = file.read_text(encoding="utf-8-sig")
            except (OSError, ValueError) as error:
                raise ConfigurationError(f"cannot be read ({type(error).__name__})", about=f"text {name}") from error
            yield from passages_of(name, text, self.cut)


def passages_of(name: str, text: str, cut: Cut) -> Iterator[Passage]:
    """The pieces of one text, under their headings."""
    for piece in cut.pieces(text):
        yield Passage(name, piece.headed, piece.page, piece.start, piece.end)


Shared = Texts | Callable[[], Iterable[Passage]] | str


@dataclass(frozen=True, slots=True)
class Retrieve:
    """A column with the passages that the text in column `question` is about, as JSON with their references.

    An element has `id`, `page`, `span` (characters), `score` and `text`; the best comes first. `corpus` is the row's
    own text, a folder, or a function that gives the passages, also by its name as `module:function`. A shared corpus is
    indexed once, so all rows of the night come at once; the row's lineage says its sha256 as `corpus`. A question that
    is empty, or about nothing in the corpus, gives `[]` and is counted as `nothing_found`.
    """

    question: str
    corpus: Own | Shared
    k: int = 5
    into: str = "context"

    @property
    def whole(self) -> bool:
        """Whether the corpus is shared by all rows."""
        return not isinstance(self.corpus, Own)

    @property
    def made_of(self) -> Mapping[str, Sequence[str]]:
        """The context, of the question and the row's own text."""
        return {self.into: (self.question, self.corpus.of) if isinstance(self.corpus, Own) else (self.question,)}

    def columns(self, given: Mapping[str, Kind]) -> Mapping[str, Kind]:
        """The columns with the context."""
        require(given, self.question, "text", of=self.into)
        if isinstance(self.corpus, Own):
            require(given, self.corpus.of, "text", of=self.into)
            if self.corpus.id != "row_key":
                require(given, self.corpus.id, "text", of=self.into)
        elif not isinstance(self.corpus, Texts):
            find_function(self.corpus, self.into)
        if isinstance(self.corpus, (Own, Texts)):
            self.corpus.cut.check(self.into)
        if self.k < 1:
            raise ConfigurationError("`k` is at least 1", about=f"column {self.into}")
        return added(given, self.into, "text")

    def apply(self, rows: list[Record], end: datetime) -> Applied:
        """The rows with what was found; raises ConfigurationError if a shared corpus has no passage."""
        shared = None if isinstance(self.corpus, Own) else self._index(self.corpus)
        sha256 = "" if shared is None else shared.sha256
        own, nothing = _OwnIndexes(), 0
        for row in rows:
            index = own.of(self.corpus, row) if isinstance(self.corpus, Own) else shared
            found = index.find(row[self.question] or "", self.k) if index else []
            nothing += not found
            row[self.into] = canonical([_reference(passage, score) for passage, score in found])
            if sha256:
                row["lineage"]["corpus"] = sha256
        return Applied(rows, counts={"nothing_found": nothing})

    def _index(self, corpus: Shared) -> Index:
        index = Index(find_function(corpus, self.into)())
        if not index.passages:
            raise ConfigurationError("the corpus has no passage", about=f"column {self.into}")
        return index


class _OwnIndexes:
    """The index of the last text: rows that ask of one document follow each other, and index it once."""

    def __init__(self) -> None:
        self._last: tuple[str, str] | None = None
        self._index: Index | None = None

    def of(self, corpus: Own, row: Record) -> Index | None:
        asked = (str(row[corpus.id]), row[corpus.of] or "")
        if asked != self._last:
            self._last, self._index = asked, Index(passages_of(*asked, corpus.cut))
        return self._index


def _reference(passage: Passage, score: float) -> Mapping[str, Any]:
    span: Sequence[int] = (passage.start, passage.end)
    return {"id": passage.id, "page": passage.page, "span": span, "score": score, "text": passage.text}
