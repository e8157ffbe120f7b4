"""Which words of a text are names or addresses: a linear-chain model over what the words look like and stand beside.

What it has learnt is a file of numbers, `words.json.gz`: weights of features, and the ordinary words that it knows. It
holds no code; reading it runs none. The best labels are found by Viterbi's algorithm (G. D. Forney, "The Viterbi
algorithm", Proc. IEEE 61(3), 1973, p. 268), as every conditional random field's are (J. Lafferty et al., ICML 2001).
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "words.json.gz"
TOKEN = re.compile(r"[^\W\d_]+(?:['\u2019\u02bc][^\W\d_]+)*|\d+|\n+|[^\s]")
_LONGEST = 24
"""Characters of a word that are looked at; longer ones are hardly words."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The fitted model: what a feature says for each of `labels`, what one label after another says, ordinary words."""

    labels: tuple[str, ...]
    state: dict[str, tuple[float, ...]]
    transitions: tuple[tuple[float, ...], ...]
    ordinary: frozenset[str]


@cache
def read_weights(file: Path = FILE) -> Weights:
    """The weights that a file keeps; raises OSError or ValueError if it is none."""
    with gzip.open(file, "rt", encoding="utf-8") as handle:
        kept = json.load(handle)
    state = {name: tuple(said) for name, said in kept["state"].items()}
    return Weights(
        tuple(kept["labels"]), state, tuple(map(tuple, kept["transitions"])), frozenset(kept["ordinary"].split())
    )


def tag(tokens: Sequence[str], weights: Weights) -> list[str]:
    """The label of each token of a text."""
    if not tokens:
        return []
    count, state, following = len(weights.labels), weights.state, weights.transitions
    every, none = range(count), (0.0,) * count
    best: list[float] = []
    back: list[list[int]] = []
    for features in features_of(tokens, weights.ordinary):
        said = [sum(column) for column in zip(*(state.get(name, none) for name in features), strict=True)]
        if not best:
            best = said
            continue
        came = [_best(best, following, to) for to in every]
        best = [best[came[to]] + following[came[to]][to] + said[to] for to in every]
        back.append(came)
    at = max(every, key=best.__getitem__)
    path = [at]
    for came in reversed(back):
        at = came[at]
        path.append(at)
    return [weights.labels[one] for one in reversed(path)]


def _best(scores: Sequence[float], following: Sequence[Sequence[float]], to: int) -> int:
    """The label before `to` on the best way there."""
    return max(range(len(scores)), key=lambda one: scores[one] + following[one][to])


def features_of(tokens: Sequence[str], ordinary: frozenset[str]) -> list[list[str]]:
    """What is looked at in each token and beside it."""
    words = [_word(one) for one in tokens]
    shapes = [_shape(one) + ("" if _is_known(word, ordinary) else "?") for one, word in zip(tokens, words, strict=True)]
    strange = f"u{_strange(words, shapes)}"
    words, shapes = ["<<", "<", *words, ">", ">>"], ["<<", "<", *shapes, ">", ">>"]
    found = []
    for at in range(2, len(tokens) + 2):
        word, shape = words[at], shapes[at]
        before, after = words[at - 1], words[at + 1]
        own = [
            "b",
            strange,
            f"{strange} {shape}",
            f"w={word}",
            f"s={shape}",
            f"s-={shapes[at - 1]} {shape}",
            f"s+={shape} {shapes[at + 1]}",
        ]
        own += [f"s3={shapes[at - 1]} {shape} {shapes[at + 1]}", f"s-2={shapes[at - 2]}", f"s+2={shapes[at + 2]}"]
        own += [f"w-={before}", f"w+={after}", f"w-s={before} {shape}", f"w+s={shape} {after}"]
        own += [f"w-2={words[at - 2]}", f"w+2={words[at + 2]}", f"w-2-={words[at - 2]} {before}"]
        own += [f"w-2-s={words[at - 2]} {before} {shape}", f"w+2+s={shape} {after} {words[at + 2]}"]
        if len(word) > 2 and word[0].isalpha():
            own += [f"e2={word[-2:]}", f"e3={word[-3:]}", f"b3={word[:3]}", f"e3s={word[-3:]} {shape}"]
            if len(word) > 4:
                own += [f"e4={word[-4:]}", f"b4={word[:4]}"]
        found.append(own)
    return found


def _strange(words: Sequence[str], shapes: Sequence[str]) -> int:
    """How many words in small letters are unknown, in quarters: in another language a strange word is no name."""
    small = [shape for word, shape in zip(words, shapes, strict=True) if shape[0] == "x" and len(word) > 1]
    return 4 * sum(shape[-1] == "?" for shape in small) // len(small) if small else 5


def _is_known(word: str, ordinary: frozenset[str]) -> bool:
    """Whether a word is an ordinary one, also with an end put to it, as in "hasn't" and "bank's"."""
    if "'" not in word:
        return word in ordinary
    return word.removesuffix("n't").partition("'")[0] in ordinary


def _word(token: str) -> str:
    if token[0] == "\n":
        return "\u00b6" * min(len(token), 2)
    if token.isdigit():
        return "0" * min(len(token), 6)
    return token.lower()[:_LONGEST].replace("\u2019", "'")


def _shape(token: str) -> str:
    if token[0] == "\n":
        return "\u00b6"
    if token.isdigit():
        return "0"
    if not token[0].isalpha():
        return token
    stem = token.replace("\u2019", "'").partition("'")[0]
    if stem.islower():
        return "x"
    if len(stem) == 1:
        return "X"
    return "XX" if stem.isupper() else "Xx" if stem[0].isupper() else "xX"
