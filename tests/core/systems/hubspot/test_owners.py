"""Rows with the people whom they belong to, and what is never told of these people."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
import requests

from include.errors import ConfigurationError, ContractBroken
from include.models import Column, Record
from include.systems.hubspot.declared import HubSpotRecords, Owner
from include.systems.hubspot.owners import Owners
from include.systems.hubspot.reading import HubSpotReader
from tests.core.systems.hubspot.conftest import SITES, SYSTEM, Crm, Script, results

SOURCE = HubSpotRecords(
    system="crm",
    object=SITES,
    key=Column("external_id", "site"),
    modified=Column("hs_lastmodifieddate", "modified_at", "datetime"),
    columns=(Column("hubspot_owner_id", "owner_id"),),
    owner=Owner("owner_id"),
)


def owner(number: str, first: str | None = "Ann", last: str | None = None, email: str | None = None) -> Record:
    return {"id": number, "firstName": first, "lastName": last, "email": email}


def filled(script: Script, session: requests.Session, *numbers: str | None) -> tuple[list[tuple[Any, Any]], int]:
    rows: list[Record] = [{"owner_id": number} for number in numbers]
    unknown = Owners(script.client(session), SYSTEM, Owner("owner_id")).fill(rows)
    return [(row["owner_email"], row["owner_name"]) for row in rows], unknown


def test_an_owner_is_told_by_address_and_name_also_one_who_left(crm: Crm) -> None:
    owned = {"a": "41629780", "b": "41629790", "c": "1", "d": ""}
    made = crm.make(SITES, **{key: {"hubspot_owner_id": number} for key, number in owned.items()})
    before = crm.seen()["route"].get("owners", 0)
    reader = HubSpotReader(crm.client(), SYSTEM, SOURCE)
    rows = {row["site"]: row for page in reader.read_ids([*made, *made]) for row in page.rows}
    told = {key: (row["owner_email"], row["owner_name"]) for key, row in rows.items()}
    assert told == {
        "a": ("bruno.carvalho@sandbox.example", "Bruno Carvalho"),
        "b": ("dora.novak@sandbox.example", "Dora Novak"),
        "c": (None, None),
        "d": (None, None),
    }
    assert reader.facts == {"missing_related": 0, "unknown_owners": 1}
    assert crm.seen()["route"]["owners"] - before == 2


def test_all_pages_of_both_lists_are_read_once(script: Script, session: requests.Session) -> None:
    more = {"paging": {"next": {"after": "7"}}}
    script.answers = [
        results(owner("1", "Old")),
        (200, {**results(owner("2", "Bo", "Li", "bo@x.example"))[1], **more}),
        results(owner("3", None, None, "c@x.example"), owner("1", "New", " ")),
    ]
    told, unknown = filled(script, session, "2", "3", "1", None, "9", "9")
    assert told[:3] == [("bo@x.example", "Bo Li"), ("c@x.example", None), (None, "New")]
    assert (told[3:], unknown) == ([(None, None)] * 3, 2)
    paths = [path for path, _ in script.asked]
    assert [("archived=true" in path, "after=7" in path) for path in paths] == [
        *((True, False), (False, False), (False, True)),
    ]
    assert all("limit=500" in path for path in paths)


def test_nobody_is_looked_for_where_no_row_has_an_owner(script: Script, session: requests.Session) -> None:
    assert filled(script, session, None, None) == ([(None, None)] * 2, 0)
    assert script.asked == []


def test_a_page_that_leads_to_itself_ends(script: Script, session: requests.Session) -> None:
    script.answers = [(200, {**results(owner("1"))[1], "paging": {"next": {"after": "7"}}})] * 3
    with pytest.raises(ContractBroken, match="leads to itself"):
        filled(script, session, "1")


def test_an_answer_of_another_shape_breaks_the_contract_and_quotes_nobody(
    script: Script, session: requests.Session, caplog: pytest.LogCaptureFixture
) -> None:
    script.answers = [(503, {}), results({"email": "ann@x.example", "firstName": "Ann"})]
    with caplog.at_level(logging.DEBUG), pytest.raises(ContractBroken, match="owners") as caught:
        filled(script, session, "1")
    assert "ann" not in (str(caught.value) + caplog.text).lower()
    assert "GET /crm/v3/owners answered 503" in caplog.text


class Here:
    """What `open` asks of a run."""

    def __init__(self, *personal: str) -> None:
        self.personal = personal

    def client(self, system: str) -> Any:
        return None

    def system(self, name: str) -> Any:
        return SYSTEM


@pytest.mark.parametrize(
    ("source", "personal", "words"),
    [
        (SOURCE, ("owner_name",), "owner_email must be listed in `personal`"),
        (SOURCE, (), "owner_email, owner_name must be listed in `personal`"),
        (replace(SOURCE, owner=Owner("owner")), ("owner_email", "owner_name"), "column owner, which is none"),
    ],
)
def test_owners_that_would_be_shown_or_are_not_named_are_refused(source: Any, personal: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        source.open(Here(*personal))


def test_owners_are_declared_as_columns() -> None:
    assert {column.name for column in SOURCE.declared} >= {"owner_email", "owner_name"}
    assert SOURCE.origins["owner_email"] == ("crm", SITES, "owners/email")
    assert isinstance(SOURCE.open(Here("owner_email", "owner_name")), HubSpotReader)  # type: ignore[arg-type]
