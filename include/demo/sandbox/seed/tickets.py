"""Generated support tickets with their labels: several languages, typos, urgent ones, some that are not for support."""

from __future__ import annotations

import csv
import random
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

PARTS = 5
"""Parts that the sentences are cut into; the telling sentences of one ticket come from one part."""
OUT_OF_SCOPE = "other"
_LANGUAGES: Mapping[str, int] = {"en": 60, "de": 18, "fr": 11, "es": 11}
_PRIORITIES: Mapping[str, int] = {"urgent": 14, "high": 20, "normal": 46, "low": 20}
_OUT_OF_SCOPE_SHARE = 0.06
_TYPO_SHARE = 0.35
_CHANNELS = ("mail", "form", "chat", "phone note")


def make_tickets(rows: int, seed: int) -> Iterator[dict[str, str]]:
    """Tickets with `id`, `channel`, `subject`, `body`, their labels, and `wording`: the part that they are made of.

    The same seed gives the same tickets. Whoever learns from them holds rows out by `wording`, since two tickets of the
    same part may share whole sentences.
    """
    chance = random.Random(seed)
    inside = [name for name in _sentences()["category"] if name != OUT_OF_SCOPE]
    for number in range(1, rows + 1):
        category = OUT_OF_SCOPE if chance.random() < _OUT_OF_SCOPE_SHARE else chance.choice(inside)
        yield {"id": f"T{number:06}", **_ticket(chance, category)}


def write_tickets(place: Path, rows: int, seed: int) -> None:
    """Write tickets as a CSV file with a header, as `nightledger train` takes it."""
    made = list(make_tickets(rows, seed))
    with place.open("w", encoding="utf-8", newline="") as file:
        lines = csv.DictWriter(file, list(made[0]))
        lines.writeheader()
        lines.writerows(made)


def _ticket(chance: random.Random, category: str) -> dict[str, str]:
    part, language, priority = chance.randrange(PARTS), _drawn(chance, _LANGUAGES), _drawn(chance, _PRIORITIES)
    priority = "low" if category == OUT_OF_SCOPE else priority
    core = _core(chance, category, language, part)
    told = [*core, *_urgency(chance, category, priority, language, part)]
    chance.shuffle(told)
    body = " ".join(one for one in (_one(chance, "opening", language), *told, _one(chance, "closing", language)) if one)
    begun = " ".join(core[0].rstrip(".?!").split()[: chance.randint(3, 6)])
    subject = begun if chance.random() < 0.6 else _one(chance, "subject", language)
    return {
        "channel": chance.choice(_CHANNELS),
        "subject": _spoilt(chance, subject),
        "body": _spoilt(chance, body),
        "category": category,
        "priority": priority,
        "language": language,
        "wording": f"part {part}",
    }


def _core(chance: random.Random, category: str, language: str, part: int) -> list[str]:
    """One to three sentences on what is wanted."""
    words = _sentences()
    pool = _part(words["category"][category][language], part)
    cores = [_filled(chance, one, words["slots"]) for one in chance.sample(pool, min(len(pool), chance.randint(1, 2)))]
    if category != OUT_OF_SCOPE and chance.random() < 0.75:
        about = _one(chance, "about", language).format(thing=chance.choice(words["thing"][category][language]))
        cores = [about, *cores] if chance.random() < 0.6 else [about]
    return cores


def _urgency(chance: random.Random, category: str, priority: str, language: str, part: int) -> list[str]:
    """What tells how soon it must be looked at; nothing for a normal ticket."""
    if category == OUT_OF_SCOPE or priority == "normal":
        return []
    words = _sentences()
    marker = chance.choice(words["marker"][priority][language])
    return [marker, chance.choice(_part(words["priority"][priority][language], part))][: chance.randint(1, 2)]


@cache
def _sentences() -> Mapping[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _part(sentences: Sequence[str], part: int) -> Sequence[str]:
    return sentences[part::PARTS]


def _one(chance: random.Random, what: str, language: str) -> str:
    return str(chance.choice(_sentences()[what][language]))


def _drawn(chance: random.Random, weights: Mapping[str, int]) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]


def _filled(chance: random.Random, sentence: str, slots: Mapping[str, Sequence[str]]) -> str:
    return sentence.format(**{name: chance.choice(values) for name, values in slots.items()})


def _spoilt(chance: random.Random, text: str) -> str:
    """The text as people type it: now and then letters swapped, lost or doubled, no capitals, or nothing else."""
    if chance.random() < 0.12:
        text = chance.choice((text.lower(), text.upper(), text.replace(",", "").replace(".", "")))
    if len(text) < 8 or chance.random() > _TYPO_SHARE:
        return text
    letters = list(text)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(1, len(letters) - 2)
        match chance.randrange(3):
            case 0:
                letters[at], letters[at + 1] = letters[at + 1], letters[at]
            case 1:
                del letters[at]
            case _:
                letters.insert(at, letters[at])
    return "".join(letters)
