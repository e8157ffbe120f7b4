"""What tickets must satisfy before a draft is asked for, and every draft before a person is asked to agree to it.

A draft that fails one that sets rows aside goes to a person with the expectation's name, and never anywhere else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

from include.addresses import strange_links
from include.models import Interval
from include.privacy.forms import find_forms
from include.privacy.tokens import tokens_in
from include.quality.columns import (
    rows_pass,
    text_length,
    text_printable,
    text_there,
    value_among,
    value_present,
    value_unique,
)
from include.quality.common import (
    answer_not_told,
    answers_arrived,
    answers_refused,
    columns_present,
    columns_typed,
    confidence_median,
    row_not_to_model,
    rows_arrived,
    rows_as_usual,
    source_fresh,
)
from include.quality.expectation import Derive, Expectation
from include.spec.prompt import read_prompt
from include.use_cases.support_reply.guidelines import Guideline, links_of, of_category, read_guidelines, said_by
from include.use_cases.support_reply.output import MOST_BODY, Language
from include.use_cases.support_reply.rows import tone_of
from include.use_cases.support_reply.spec import SPEC
from include.use_cases.support_reply.wording import figures_in, promises_in, tongue_of

if TYPE_CHECKING:
    import pandas as pd

TYPES = {"ticket_id": ("str", "text"), "ticket_created_at": ("Timestamp", "times")}
TEXTS = ("ticket_subject", "ticket_body")
WRITTEN = ("subject", "body")
LANGUAGES = list(get_args(Language))
ENOUGH = 200
"""Drafts below which their distribution says nothing."""
_CONTACTS = frozenset(("phone", "e-mail", "iban", "card", "ip", "url", "key"))
_GREETED = "person_"


@cache
def guidelines() -> dict[str, Guideline]:
    """The guidelines that the prompt in use has attached, by id."""
    folder = SPEC.folder
    return {
        number: one
        for name in read_prompt(SPEC.prompt_file).attached
        for number, one in read_guidelines(folder / name).items()
    }


@cache
def _links() -> tuple[str, ...]:
    return links_of(guidelines().values())


def _each(rows: pd.DataFrame, holds: Callable[[Any], bool]) -> pd.Series[Any]:
    """Whether it holds of each draft; rows without one have nothing that could be wrong."""
    if rows.empty:
        return rows["body"].isna()
    return rows["body"].isna() | rows.fillna({"subject": "", "body": ""}).apply(
        lambda row: bool(holds(row)), axis="columns"
    )


def _text(row: Any) -> str:
    return f"{row['subject']}\n{row['body']}"


def _cited(row: Any) -> list[str]:
    """The ids that a draft cites; a list is JSON text in this dataset."""
    found = json.loads(row["guidelines"] or "[]")
    return [str(one) for one in found] if isinstance(found, list) else []


def _no_strange_link(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return _each(rows, lambda row: not strange_links(_text(row), _links()))


def _no_contact(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    def holds(row: Any) -> bool:
        text = _text(row)
        found = {text[one.start : one.end].rstrip("/") for one in find_forms(text) if one.kind in _CONTACTS}
        return found <= {one.rstrip("/") for one in _links()}

    return _each(rows, holds)


def _only_the_name(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """Tokens come back as values when a draft is sent: only a name may, once, in the greeting of a named customer."""

    def holds(row: Any) -> bool:
        greeting, _, rest = row["body"].partition("\n")
        found = tokens_in(greeting)
        named = len(found) <= isinstance(row["customer_name"], str)
        return named and all(one.startswith(_GREETED) for one in found) and not tokens_in([row["subject"], rest])

    return _each(rows, holds)


def _no_promise(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return _each(rows, lambda row: not promises_in(_text(row)))


def _figures_from_guidelines(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return _each(rows, lambda row: figures_in(_text(row)) <= figures_in(said_by(guidelines(), _cited(row))))


def _cites_its_own(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    def holds(row: Any) -> bool:
        cited = set(_cited(row))
        return bool(cited) and cited <= of_category(guidelines(), str(row["category"]))

    return _each(rows, holds)


def _in_its_language(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    def holds(row: Any) -> bool:
        wanted = row["ticket_language"]
        return bool(row["language"] == wanted and tongue_of(row["body"]) in (wanted, None))

    return _each(rows, holds)


def _in_its_tone(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """As asked for; the columns of the row have other names than those of the answer."""
    return _each(rows, lambda row: bool(row["tone"] == tone_of(row["category"])))


def _decision_named(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """Where only a person can decide, the draft says what."""

    def holds(row: Any) -> bool:
        open_ = row["category"] in ("refund", "cancellation", "complaint", "data_privacy")
        return not (open_ or row["priority"] == "urgent") or bool(str(row["needs_human"] or "").strip())

    return _each(rows, holds)


def _of_drafts(name: str, meaning: str, derive: Derive, *columns: str) -> Expectation:
    """One that every draft must meet, or a person sees it with this name."""
    return rows_pass(name, meaning, (*WRITTEN, *columns), derive, "drafts", rows="quarantine", at_least=0.9)


EXPECTATIONS = (
    rows_arrived("The night brought at most 1,000,000 tickets to reply to", 0, 1_000_000, "tickets"),
    value_unique("ticket_id", "No ticket came twice", "tickets", severity="critical"),
    text_there(
        "text_found",
        "The desk's file has the ticket, and its subject or body holds a letter or digit",
        TEXTS,
        "tickets",
        rows="quarantine",
        at_least=0.95,
    ),
    value_present(
        "category", "Triage gave the ticket a category", "tickets", severity="critical", rows="quarantine", at_least=0.9
    ),
    text_length(
        "ticket_body", "The body has at most 20,000 characters", 20_000, "tickets", rows="quarantine", at_least=0.98
    ),
    text_printable(
        "ticket_body",
        "The body holds no control characters but line breaks and tabs",
        "tickets",
        rows="quarantine",
        at_least=0.98,
    ),
    value_among(
        "ticket_language",
        "The ticket is in a language that replies are written in",
        LANGUAGES,
        "tickets",
        rows="quarantine",
    ),
    columns_present("Every column that is checked or shown to the model was staged", [*SPEC.model_sees, *TYPES]),
    *columns_typed(TYPES),
    source_fresh(
        "The newest ticket was written at most 24 hours before the end of the night",
        "ticket_created_at",
        timedelta(hours=24),
    ),
    rows_as_usual(
        "The night brought between half and twice the tickets that this weekday's nights bring", 0.5, 2.0, "tickets"
    ),
    row_not_to_model("Neither subject nor body of the ticket speaks to the model", TEXTS, "tickets"),
)

ANSWER_EXPECTATIONS = (
    answers_arrived("At least one draft was to be written", "tickets"),
    answers_refused("tickets", ENOUGH),
    _of_drafts("link_from_guidelines", "No address stands in a draft but those of the guidelines", _no_strange_link),
    _of_drafts("contact_from_guidelines", "No phone number, account or e-mail address but theirs", _no_contact),
    _of_drafts(
        "only_the_customers_name",
        "No value of the ticket comes back in a draft but one name, in the greeting",
        _only_the_name,
        "customer_name",
    ),
    _of_drafts("no_promise", "No draft gives money, goods or a guarantee, or says that it was given", _no_promise),
    _of_drafts(
        "figures_from_guidelines",
        "No sum, share, period or date but those of the guidelines that the draft cites",
        _figures_from_guidelines,
        "guidelines",
    ),
    _of_drafts(
        "guidelines_known",
        "Every guideline that is cited exists, and is a general one or of the ticket's category",
        _cites_its_own,
        *("guidelines", "category"),
    ),
    _of_drafts(
        "language_of_ticket",
        "The draft is in the language of the ticket",
        _in_its_language,
        *("language", "ticket_language"),
    ),
    _of_drafts("tone_as_asked", "The draft has the tone that was asked for", _in_its_tone, "tone", "category"),
    _of_drafts(
        "decision_named",
        "Where only a person can decide, the draft says what",
        _decision_named,
        *("needs_human", "category", "priority"),
    ),
    Expectation(
        "draft_length",
        "ExpectColumnValueLengthsToBeBetween",
        ("body",),
        "warning",
        f"The draft has 40 to {MOST_BODY:,} characters",
        {"column": "body", "min_value": 40, "max_value": MOST_BODY},
        rows="quarantine",
        at_least=0.95,
        unit="drafts",
    ),
    confidence_median("Half of the drafts are at least 50 % certain", 0.5, ENOUGH),
    answer_not_told("No draft is to a ticket that speaks to the model; a person sees such", TEXTS, "drafts"),
)
