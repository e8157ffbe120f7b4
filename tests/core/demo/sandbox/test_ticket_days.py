"""A day's tickets: where they are, what is wrong with some, and that they are the same whenever they are made."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.crm.properties import PROPERTIES, check
from include.demo.sandbox.model.tickets import sort_ticket
from include.demo.sandbox.seed.days import Seeded
from include.demo.sandbox.seed.ticket_days import (
    IN_BOTH,
    IN_CRM,
    IN_FILE,
    LONG_BODY_CHARACTERS,
    UNKNOWN_CUSTOMER,
    customers_at,
    seed_tickets,
)
from include.demo.sandbox.seed.tickets import make_tickets
from include.models import Record
from include.use_cases.support_triage.output import Output
from tests.core.demo.sandbox.conftest import ANCHOR, Crm

CONFIG = SandboxConfig(Path("nowhere"), anchor=ANCHOR)


@pytest.fixture(scope="module")
def week() -> list[Seeded]:
    return [seed_tickets(CONFIG, ANCHOR - timedelta(days=back)) for back in range(7)]


def of_kind(day: Seeded, kind: str) -> list[Record]:
    return [entry for entry in day.entries if entry["object"] == kind]


def lines(day: Seeded, start: str) -> list[dict[str, str]]:
    (content,) = (text for name, text in day.files.items() if name.startswith(start) and name.endswith(".csv"))
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def test_a_day_is_the_same_whenever_it_is_made_and_unlike_the_next(week: list[Seeded]) -> None:
    assert seed_tickets(replace(CONFIG, anchor=ANCHOR + timedelta(days=3)), ANCHOR) == week[0] != week[1]
    assert seed_tickets(replace(CONFIG, seed=8), ANCHOR) != week[0]


def test_tickets_are_of_their_day_and_valid_in_the_crm(week: list[Seeded]) -> None:
    for back, day in enumerate(week):
        end = ANCHOR - timedelta(days=back)
        found = of_kind(day, "tickets")
        assert len(found) == IN_CRM
        assert all(end.timestamp() - 86_400 <= one["modified"] / 1000 < end.timestamp() for one in found)
        for entry in (*found, *of_kind(day, "companies")):
            for name, value in entry["values"].items():
                problem = check(entry["object"], name, value)
                assert problem is None or PROPERTIES[entry["object"]][name].read_only, problem
    numbers = [one["id"] for day in week for one in of_kind(day, "tickets")]
    assert len(set(numbers)) == len(numbers)


def test_each_days_file_has_what_files_have_wrong(week: list[Seeded]) -> None:
    for day in week:
        rows = lines(day, "tickets_")
        ids = [row["ticket_id"] for row in rows]
        assert len(rows) == IN_FILE
        assert (ids.count(""), len(ids) - len(set(ids))) == (1, 1)
        assert sum(not re.search(r"\w", row["subject"] + row["body"]) for row in rows) == 1
        assert sum(row["customer_id"] == UNKNOWN_CUSTOMER for row in rows) == 1
        bodies = [one["values"]["content"] for one in of_kind(day, "tickets")]
        assert sum(body is None for body in bodies) == 1
        assert sum(len(body or "") == LONG_BODY_CHARACTERS for body in bodies) == 1
        assert sum("\x07" in (body or "") for body in bodies) == 1


def test_a_few_tickets_are_in_both_word_for_word(week: list[Seeded]) -> None:
    for day in week:
        rows = {row["ticket_id"]: row for row in lines(day, "tickets_")}
        shared = [one["values"] for one in of_kind(day, "tickets") if one["values"]["helpdesk_ticket_id"]]
        assert len(shared) == IN_BOTH
        for one in shared:
            row = rows[one["helpdesk_ticket_id"]]
            assert (row["subject"], row["body"]) == (one["subject"], one["content"])


def test_customers_are_listed_once_and_have_a_company(week: list[Seeded]) -> None:
    for back, day in enumerate(week):
        listed = {row["customer_id"] for row in lines(day, "customers_")}
        assert len(listed) == len(lines(day, "customers_")) == len(customers_at(7, ANCHOR - timedelta(days=back)))
        companies = {str(one["id"]): one["values"]["customer_number"] for one in of_kind(day, "companies")}
        asked = [one["values"]["hs_primary_company_id"] for one in of_kind(day, "tickets")]
        assert asked.count(None) == 1
        assert {companies[one] for one in asked if one} <= listed


def test_there_are_customers_from_the_first_on() -> None:
    assert customers_at(7, datetime(2015, 1, 1, tzinfo=UTC)) == []
    few, more = (customers_at(7, datetime(year, 1, 1, tzinfo=UTC)) for year in (2017, 2020))
    assert more[: len(few)] == few
    assert len(more) > len(few) > 1
    ends = [ANCHOR + timedelta(days=ahead) for ahead in range(400)]
    assert all(one.since < end for end in ends for one in customers_at(7, end)[-1:])


def test_the_crm_shows_tickets_with_the_properties_that_hubspot_gives_unasked(crm: Crm) -> None:
    number = crm.first("tickets")
    shown = crm.call("GET", f"/crm/v3/objects/tickets/{number}").json()["properties"]
    assert {"subject", "content", "hs_pipeline", "hs_pipeline_stage", "hs_ticket_priority"} <= shown.keys()
    body = {"properties": {"nl_ticket_priority": "soon"}}
    assert "INVALID_OPTION" in crm.call("PATCH", f"/crm/v3/objects/tickets/{number}", body).text
    body = {"properties": {"hs_primary_company_id": "1"}}
    assert "READ_ONLY_VALUE" in crm.call("PATCH", f"/crm/v3/objects/tickets/{number}", body).text


def test_the_rule_sorts_most_tickets_as_they_are_labelled() -> None:
    rows = list(make_tickets(1_000, 3))
    answers = [sort_ticket(row) for row in rows]
    assert all(Output.model_validate(one) for one in answers)
    for name, least in (("category", 0.7), ("priority", 0.75), ("language", 0.9)):
        assert sum(one[name] == row[name] for one, row in zip(answers, rows, strict=True)) / len(rows) > least
    sure = [
        one["category"] == row["category"] for one, row in zip(answers, rows, strict=True) if one["confidence"] > 0.8
    ]
    assert sum(sure) / len(sure) > 0.9


def test_the_rule_has_an_answer_to_nothing() -> None:
    assert sort_ticket({})["category"] == sort_ticket({"body": None, "subject": 3})["category"] == "other"
