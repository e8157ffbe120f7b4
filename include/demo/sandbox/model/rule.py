"""The rule by which the stand-in scores a lead: points for title, size, industry, recency, engagement and source.

It is no model and knows nothing that is not in the record. Points and thresholds are made up; `docs/sandbox.md` has
the table. Confidence is a function of how much is known and of the distance to the next tier, and the generated
leads' hidden truth is drawn from it, so that it is calibrated on them and on nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Tier = Literal["hot", "warm", "cold"]

HOT_FROM, WARM_FROM = 70, 40
# What a fact counts that is not known: about what it counts for the average lead.
NEUTRAL = {"title": 10, "size": 7, "industry": 5, "recency": 6, "engagement": 4, "source": 2}
LONGEST_TITLE = 120
MOST_PAGE_VIEWS = 100_000
_NEAR = 15

_TITLES: tuple[tuple[str, int, str], ...] = (
    (r"intern|trainee|student|apprentice|praktikant|stagiaire", -4, "a junior"),
    (r"assistant|coordinator|clerk|junior|jr", 3, "a junior"),
    (r"vice president|s?vp|evp|head|leiter|leiterin|responsable", 27, "a senior leader"),
    (
        r"chief|ceo|cto|cfo|coo|cio|cmo|ciso|owner|founder|co-founder|president|partner|gesch\S+ftsf\S+hrer",
        32,
        "a top executive",
    ),
    (r"director|directeur|direktor|directrice", 20, "a director"),
    (r"manager|lead|principal|supervisor|chef", 12, "a manager"),
    (r"senior|sr|architect|specialist|consultant", 6, "a specialist"),
)
_TITLE_PATTERNS = tuple((re.compile(rf"(?<!\w)(?:{words})(?!\w)"), points, who) for words, points, who in _TITLES)
_MARKUP = re.compile(r"[<>={}\x00-\x1f\x7f]|https?:|\b(?:ignore|instruction|prompt|score)s?\b", re.IGNORECASE)
_FITTING = re.compile(
    r"manufactur|machiner|automotive|industrial|technolog|technolgy|software|computer|information|internet|telecom"
    r"|semiconductor|financ|bank|insur|capital|health|hospital|medic|pharma|biotech"
)
_SOURCES = {
    "REFERRALS": 6,
    "DIRECT_TRAFFIC": 6,
    "ORGANIC_SEARCH": 4,
    "EMAIL_MARKETING": 3,
    "PAID_SEARCH": 3,
    "SOCIAL_MEDIA": 2,
    "PAID_SOCIAL": 2,
    "OTHER_CAMPAIGNS": 1,
    "OFFLINE": -2,
}
_STAGES = {
    "opportunity": 6,
    "salesqualifiedlead": 6,
    "marketingqualifiedlead": 4,
    "lead": 2,
    "subscriber": 0,
    "customer": 0,
}


@dataclass(frozen=True, slots=True)
class Fact:
    """What one field contributes: points, and words for the reasons."""

    points: int
    words: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The rule's answer for one lead; `confidence` between 0 and 1 with two digits."""

    score: int
    tier: Tier
    summary: str
    next_action: str
    confidence: float
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The answer as JSON values."""
        return {
            "score": self.score,
            "tier": self.tier,
            "summary": self.summary,
            "next_action": self.next_action,
            "confidence": self.confidence,
            "reasons": list(self.reasons),
        }


def judge(record: Mapping[str, Any]) -> Verdict:
    """Score one lead; any field may be missing, null or nonsense, which is then as good as unknown."""
    facts = {name: fact for name, read in _FACTS.items() if (fact := read(record)) is not None}
    bonus = _STAGES.get(_text(record, "lifecycle_stage"), 0) + (2 if _text(record, "product_interest") else 0)
    points = sum(facts[name].points if name in facts else neutral for name, neutral in NEUTRAL.items())
    score = max(0, min(100, bonus + points))
    tier = tier_of(score)
    return Verdict(
        score,
        tier,
        _summary(tier, facts),
        _next_action(tier, score, facts),
        _confidence(score, len(facts)),
        _reasons(facts),
    )


def tier_of(score: int) -> Tier:
    """Hot from 70, warm from 40, else cold."""
    return "hot" if score >= HOT_FROM else "warm" if score >= WARM_FROM else "cold"


def _confidence(score: int, known: int) -> float:
    distance = min(abs(score - WARM_FROM + 0.5), abs(score - HOT_FROM + 0.5), _NEAR) / _NEAR
    return round(0.25 + 0.42 * known / len(_FACTS) + 0.28 * distance, 2)


def _title(record: Mapping[str, Any]) -> Fact | None:
    text = _text(record, "job_title")
    if not any(letter.isalpha() for letter in text) or len(text) > LONGEST_TITLE or _MARKUP.search(text):
        return None
    for pattern, points, who in _TITLE_PATTERNS:
        if pattern.search(text):
            return Fact(points, f"title of {who}")
    return Fact(3, "title of a staff member")


def _size(record: Mapping[str, Any]) -> Fact | None:
    employees, revenue = _number(record, "employees"), _number(record, "annual_revenue")
    if employees is None or employees <= 0:
        if revenue is None or revenue <= 0:
            return None
        employees = revenue / 200_000
    if employees >= 1_000:
        return Fact(14, "large company")
    if employees >= 100:
        return Fact(16, "mid-sized company")
    return Fact(7, "small company") if employees >= 20 else Fact(1, "very small company")


def _industry(record: Mapping[str, Any]) -> Fact | None:
    text = _text(record, "industry").replace("_", " ")
    if not text or text in ("n/a", "unknown", "other", "-"):
        return None
    return Fact(11, "industry that fits well") if _FITTING.search(text) else Fact(3, "industry that fits less")


def _recency(record: Mapping[str, Any]) -> Fact | None:
    days = _number(record, "last_activity_days")
    if days is None or days < 0:
        return None
    for limit, points, words in ((7, 17, "within 7 days"), (30, 10, "within 30 days"), (90, 2, "within 90 days")):
        if days <= limit:
            return Fact(points, f"active {words}")
    return Fact(-5, "silent for more than 90 days") if days <= 365 else Fact(-10, "silent for more than a year")


def _engagement(record: Mapping[str, Any]) -> Fact | None:
    views = _number(record, "page_views")
    if views is None or not 0 <= views <= MOST_PAGE_VIEWS:
        return None
    for least, points, words in ((20, 10, "high engagement"), (8, 6, "good engagement"), (2, 3, "some engagement")):
        if views >= least:
            return Fact(points, words)
    return Fact(0, "no engagement yet")


def _source(record: Mapping[str, Any]) -> Fact | None:
    points = _SOURCES.get(_text(record, "lead_source").upper().replace(" ", "_"))
    if points is None:
        return None
    return Fact(points, "came on their own or by referral" if points >= 6 else "came through a campaign or list")


_FACTS = {
    "title": _title,
    "size": _size,
    "industry": _industry,
    "recency": _recency,
    "engagement": _engagement,
    "source": _source,
}


def _summary(tier: Tier, facts: Mapping[str, Fact]) -> str:
    words = [facts[name].words for name in ("title", "size", "industry", "recency") if name in facts]
    if not words:
        return f"{tier.capitalize()} lead, with nothing on record to judge by."
    return f"{tier.capitalize()} lead: {', '.join(words)}."


def _next_action(tier: Tier, score: int, facts: Mapping[str, Fact]) -> str:
    active = "recency" in facts and facts["recency"].points > 5
    if tier == "hot":
        return "call" if active else "email"
    if len(facts) <= 2:
        return "research"
    if tier == "warm":
        return "email" if active else "nurture"
    return "nurture" if score >= 20 else "discard"


def _reasons(facts: Mapping[str, Fact]) -> tuple[str, ...]:
    strongest = sorted(facts.values(), key=lambda fact: -abs(fact.points))
    return tuple(fact.words for fact in strongest[:4]) or ("too little is known about this lead",)


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    return value.strip().lower() if isinstance(value, str) else ""


def _number(record: Mapping[str, Any], name: str) -> float | None:
    value = record.get(name)
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(str(value).replace(",", ""))
    except ValueError:
        return None
    return found if abs(found) < float("inf") else None
