"""Reading OData: pages that would lose rows or never end, links that lead away, lags, expansions, contracts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest

from include.demo.sandbox.odata.model import Prop
from include.errors import AccessDenied, ConfigurationError, ContractBroken
from include.models import Column, Interval, Record
from include.systems.odata.declared import ODataRecords, Paging
from include.systems.odata.keys import MOST_CHARACTERS
from include.systems.odata.reading import ODataReader
from include.systems.odata.values import instant
from include.systems.port import VERSION
from tests.core.systems.contracts import NIGHT, rows_of
from tests.core.systems.odata.conftest import DECIMAL, TEXT, Erp, Here, Loop, Said, Scripted

CHANGED = Column("ChangedAt", "changed_at", "datetime")
NAME, AMOUNT = Column("name", "name"), Column("amount", "amount", "number")
THINGS = ODataRecords(system="erp", object="Things", keys=(Column("Code", "code"),), changed=CHANGED, columns=(NAME,))
LINES = ODataRecords(
    system="erp",
    object="Lines",
    keys=(Column("Plant", "plant"), Column("Number", "number", "integer")),
    changed=CHANGED,
    columns=(NAME, AMOUNT),
)
NOON = NIGHT.start + timedelta(hours=10)


def thing(code: str, **more: Any) -> Record:
    return {"Code": code, "name": code.lower(), "ChangedAt": instant(NOON), **more}


def reader(url: str, source: ODataRecords = THINGS, **here: Any) -> ODataReader:
    return source.open(Here(url, **here))


def names(pages: Any) -> list[str]:
    return [row["name"] for row in rows_of(pages)]


class TestPages:
    def test_a_service_that_gives_fewer_rows_than_asked_without_a_word_loses_none(self, scripted: Scripted) -> None:
        scripted.says({"value": [thing("A"), thing("B")]}, {"value": [thing("C")]}, {"value": []})
        assert names(reader(scripted.url).read(NIGHT)) == ["a", "b", "c"]

    def test_a_page_that_comes_again_is_no_endless_loop(self, scripted: Scripted) -> None:
        scripted.says({"value": [thing("A"), thing("B")]})
        with pytest.raises(ContractBroken, match=r"2 of the 2 rows of a page have come before.*\$filter"):
            list(reader(scripted.url).read(NIGHT))

    @pytest.mark.parametrize("later", [{"value": [thing("C"), thing("A")]}, {"value": [thing("A")]}])
    def test_a_row_that_comes_again_by_key_is_a_breach(self, scripted: Scripted, later: Any) -> None:
        scripted.says({"value": [thing("A"), thing("B")]}, later, {"value": []})
        with pytest.raises(ContractBroken, match="have come before"):
            list(reader(scripted.url).read(NIGHT))

    def test_numbers_that_are_not_sorted_are_a_breach_before_a_row_is_lost(self, scripted: Scripted) -> None:
        numbers = replace(LINES, object="Orders", keys=(Column("Number", "number", "integer"),))
        scripted.document = scripted.document.replace(b'EntitySet Name="Lines"', b'EntitySet Name="Orders"').replace(
            b'<PropertyRef Name="Plant"/>', b""
        )
        scripted.answers = [Said({"value": [{"Number": "2"}, {"Number": "9"}, {"Number": "5"}]})]
        with pytest.raises(ContractBroken, match="not in ascending order"):
            list(reader(scripted.url, numbers).read(NIGHT))

    def test_an_empty_page_that_leads_on_is_not_the_end(self, scripted: Scripted) -> None:
        scripted.says({"value": [], "@odata.nextLink": "Things?$skiptoken=1"}, {"value": [thing("A")]}, {"value": []})
        assert names(reader(scripted.url).read(NIGHT)) == ["a"]
        assert "gt 'A'" in unquote(scripted.paths()[-1])

    @pytest.mark.parametrize("paging", ["key", "links"])
    def test_empty_pages_do_not_go_on_for_ever(self, scripted: Scripted, paging: Paging) -> None:
        scripted.says(*({"value": [], "@odata.nextLink": f"Things?$skiptoken={n}"} for n in range(300)), {})
        with pytest.raises(ContractBroken, match="through empty pages"):
            list(reader(scripted.url, replace(THINGS, paging=paging)).read(NIGHT))
        assert len(scripted.asked) < 150

    def test_rows_that_links_bring_twice_are_read_once_and_counted(self, scripted: Scripted) -> None:
        first = {"value": [thing("A"), thing("B")], "@odata.nextLink": "Things?$skip=2"}
        scripted.says(first, {"value": [thing("B"), thing("C")]})
        read = reader(scripted.url, replace(THINGS, paging="links"))
        assert names(read.read(NIGHT)) == ["a", "b", "c"]
        assert (read.rows, read.facts) == (3, {"repeated": 1})

    @pytest.mark.parametrize("paging", ["key", "links"])
    def test_two_rows_of_one_key_are_a_breach(self, scripted: Scripted, paging: Paging) -> None:
        """CAP's Int64 keys above 2^53 come so from SQLite, since they were rounded on their way."""
        scripted.says({"value": [thing("A", name="one"), thing("A", name="other")]})
        with pytest.raises(ContractBroken, match="have the same key"):
            list(reader(scripted.url, replace(THINGS, paging=paging)).read(NIGHT))

    @pytest.mark.parametrize("fault", ["repeated_link", "foreign_link"])
    def test_links_in_a_circle_and_links_that_lead_away(self, erp: Erp, here: Here, fault: str) -> None:
        for number in range(12):
            erp.put("Things", **thing(f"T{number:02d}"))
        erp.fail(rates={fault: 1.0})
        with pytest.raises(ContractBroken, match=r"have come before|leads to http://elsewhere\.invalid"):
            list(replace(THINGS, paging="links").open(here).read(NIGHT))
        assert len(erp.paths()) <= 3

    def test_a_link_to_another_host_never_gets_the_credential(self, scripted: Scripted, serving: Loop) -> None:
        from aiohttp import web

        seen: list[str] = []

        async def note(request: web.Request) -> web.Response:
            seen.append(request.headers.get("Authorization", ""))
            return web.json_response({"value": []})

        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", note)
        other = serving.serve(app)
        scripted.says({"value": [thing("A")], "@odata.nextLink": f"{other}/api/v4/Things?$skiptoken=1"})
        with pytest.raises(ContractBroken, match=r"a next link leads to http://127\.0\.0\.1:"):
            list(reader(scripted.url, replace(THINGS, paging="links")).read(NIGHT))
        assert seen == []

    @pytest.mark.parametrize(
        "link", ["/elsewhere/Things?$skip=1", "../../x", "/api/v4/../x?$skip=1", "/api/v4/%2e%2e/x", "/api/v44/Things"]
    )
    def test_a_link_stays_below_the_services_root(self, scripted: Scripted, link: str) -> None:
        scripted.says({"value": [thing("A")], "@odata.nextLink": link})
        with pytest.raises(ContractBroken, match="out of the service's root"):
            list(reader(scripted.url, replace(THINGS, paging="links")).read(NIGHT))
        assert len(scripted.asked) == 1

    def test_a_page_that_comes_again_by_ever_new_links_is_no_endless_loop(self, scripted: Scripted) -> None:
        again = ({"value": [thing("A"), thing("B")], "@odata.nextLink": f"Things?$skip={n}"} for n in range(300))
        scripted.says(*again)
        with pytest.raises(ContractBroken, match=r"2 of the 2 rows .* have come before"):
            list(reader(scripted.url, replace(THINGS, paging="links")).read(NIGHT))
        assert len(scripted.asked) == 2

    @pytest.mark.parametrize("step", [0, 1])
    def test_reading_anew_ends_whatever_the_links_say(self, scripted: Scripted, step: int) -> None:
        again = ({"value": [thing("A")], "@odata.nextLink": f"Things?$skip={n * step}"} for n in range(300))
        scripted.says(*again)
        with pytest.raises(ContractBroken, match="more than the 2 rows"):
            list(reader(scripted.url).read_ids(["A", "B"]))
        assert len(scripted.asked) < 5

    def test_links_are_also_called_as_in_4_01(self, scripted: Scripted) -> None:
        scripted.says({"value": [thing("A")], "@nextLink": "Things?$skiptoken=1"}, {"value": [thing("B")]})
        assert names(reader(scripted.url, replace(THINGS, paging="links")).read(NIGHT)) == ["a", "b"]

    def test_the_credential_goes_where_links_of_our_own_lead(self, scripted: Scripted) -> None:
        link = f"{scripted.url}/Things?$skiptoken=%27A%2FB%27"
        scripted.says({"value": [thing("A")], "@odata.nextLink": link}, {"value": [thing("B")]})
        assert names(reader(scripted.url, replace(THINGS, paging="links")).read(NIGHT)) == ["a", "b"]
        assert scripted.paths()[1] == "/api/v4/Things?$skiptoken=%27A%2FB%27"
        assert "Authorization" in scripted.asked[1][2]
        assert scripted.asked[0][2]["Prefer"] == "odata.maxpagesize=5"

    @pytest.mark.parametrize("body", [{"values": []}, [], {"value": {}}, {"value": [1]}])
    def test_what_is_no_page_is_a_breach(self, scripted: Scripted, body: Any) -> None:
        scripted.says(body)
        with pytest.raises(ContractBroken, match="`value` is not what OData promises"):
            list(reader(scripted.url).read(NIGHT))

    def test_a_row_without_its_key_is_a_breach(self, scripted: Scripted) -> None:
        scripted.says({"value": [{"name": "a", "Code": None}]})
        with pytest.raises(ContractBroken, match="a row without its key"):
            list(reader(scripted.url).read(NIGHT))


class TestQuery:
    def test_the_query_asks_for_what_is_declared_and_no_more(self, scripted: Scripted) -> None:
        list(reader(scripted.url, replace(THINGS, filter="name ne 'x&y' or MakerId eq null")).read(NIGHT))
        assert unquote(scripted.paths()[0]) == (
            "/api/v4/Things?$select=Code,ChangedAt,name&$filter=ChangedAt ge 2026-11-18T02:00:00Z and"
            " ChangedAt lt 2026-11-19T02:00:00Z and (name ne 'x&y' or MakerId eq null)&$orderby=Code&$top=5"
        )
        assert "IEEE754Compatible=true" in scripted.asked[0][2]["Accept"]

    def test_a_refused_query_says_so_without_values(self, erp: Erp, here: Here) -> None:
        with pytest.raises(ContractBroken, match=r"400 Could not find a property named … on type …"):
            list(replace(THINGS, filter="Town eq 'Ulm'").open(here).read(NIGHT))

    def test_a_wrong_login_is_access_denied(self, erp: Erp, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(erp.api, "_password", "another")
        with pytest.raises(AccessDenied, match="401"):
            THINGS.open(here).check_contract()


class TestLag:
    def test_a_change_that_becomes_visible_late_is_read_once(self, erp: Erp, here: Here) -> None:
        late, changes = timedelta(hours=2), [NIGHT.start + timedelta(minutes=40 * n) for n in range(-20, 80)]
        source, read = replace(THINGS, lag=late), list[str]()
        for back in range(4):
            interval = Interval(NIGHT.start + timedelta(days=back), NIGHT.end + timedelta(days=back))
            for number, moment in enumerate(changes):
                if moment + late <= interval.end:
                    erp.store.put(erp.set_of("Things"), thing(f"T{number}", ChangedAt=instant(moment)))
            read += [row["code"] for row in rows_of(source.open(here).read(interval))]
        first = NIGHT.start - late
        assert sorted(read) == sorted(f"T{n}" for n, moment in enumerate(changes) if moment >= first)

    def test_the_interval_is_moved_back_by_the_lag(self, scripted: Scripted) -> None:
        list(reader(scripted.url, replace(THINGS, lag=timedelta(minutes=90, milliseconds=5))).read(NIGHT))
        asked = unquote(scripted.paths()[0])
        assert "ge 2026-11-18T00:29:59.995000Z and ChangedAt lt 2026-11-19T00:29:59.995000Z" in asked


class TestColumns:
    def test_a_column_of_another_entity_is_expanded(self, erp: Erp, here: Here) -> None:
        erp.put("Makers", Id="m1", Town="Ulm")
        erp.put("Things", **thing("A", MakerId="m1"))
        erp.put("Things", **thing("B"))
        source = replace(THINGS, columns=(NAME, Column("Maker/Town", "town")))
        read = source.open(here)
        read.check_contract()
        assert {row["code"]: row["town"] for row in rows_of(read.read(NIGHT))} == {"A": "Ulm", "B": None}
        assert "$expand=Maker($select=Town)" in unquote(erp.paths()[0])

    def test_properties_that_are_not_declared_are_named(self, erp: Erp, here: Here) -> None:
        read = replace(THINGS, columns=(NAME, Column("Maker/Town", "town"))).open(here)
        read.check_contract()
        names = [one.partition(": ")[2] for one in read.facts["other_columns"]]
        assert "MakerId" in names
        assert not {"Code", "Name", "ChangedAt"} & set(names)

    @pytest.mark.parametrize(
        ("column", "words"),
        [
            ("Maker/Twon", "no 'Twon'; closest: 'Town' .renamed.. in 'Maker'"),
            ("Makers/Town", "no 'Makers'; closest: 'Maker'"),
            ("nme", "no 'nme'; closest: 'name'"),
        ],
    )
    def test_a_path_that_is_not_there(self, erp: Erp, here: Here, column: str, words: str) -> None:
        source = replace(THINGS, columns=(Column(column, "x"),))
        with pytest.raises(ContractBroken, match=words):
            source.open(here).check_contract()
        with pytest.raises(ContractBroken, match=words):
            list(source.open(here).read(NIGHT))

    def test_many_entities_are_no_column(self, erp: Erp, here: Here) -> None:
        source = ODataRecords(
            system="erp",
            object="Makers",
            keys=(Column("Id", "id"),),
            changed=CHANGED,
            columns=(Column("Things/name", "name"),),
        )
        with pytest.raises(ContractBroken, match="leads to many entities"):
            source.open(here).check_contract()

    @pytest.mark.parametrize(
        ("edm", "breaks"), [("Edm.String", True), ("Edm.Int32", False), ("Edm.Double", False), ("Edm.Date", True)]
    )
    def test_a_changed_type_is_a_breach_if_it_cannot_be_read(
        self, erp: Erp, here: Here, edm: str, breaks: bool
    ) -> None:
        erp.change_set("Lines", props={**erp.set_of("Lines").props, "amount": Prop(edm)})
        if not breaks:
            LINES.open(here).check_contract()
            return
        with pytest.raises(ContractBroken, match=f"'amount' is {edm}, which cannot be read as number"):
            LINES.open(here).check_contract()

    def test_every_breach_is_named_at_once(self, erp: Erp, here: Here) -> None:
        erp.change_set("Lines", props={**erp.set_of("Lines").props, "amount": TEXT, "nome": TEXT} | {"name": DECIMAL})
        columns = (Column("amount", "amount", "number"), Column("no_such", "x"))
        with pytest.raises(ContractBroken, match=r"'amount' is Edm.String.*no 'no_such'"):
            replace(LINES, columns=columns).open(here).check_contract()

    def test_a_set_that_is_gone_and_a_key_that_is_another(self, erp: Erp, here: Here) -> None:
        with pytest.raises(ContractBroken, match="no 'Thing'; closest: 'Things'"):
            replace(THINGS, object="Thing").open(here).check_contract()
        with pytest.raises(ContractBroken, match="the key is Plant, Number, not Number, Plant"):
            replace(LINES, keys=LINES.keys[::-1]).open(here).check_contract()

    def test_long_numbers_keep_every_digit(self, erp: Erp, here: Here) -> None:
        erp.put("Lines", Plant="DE", Number=2**63 - 1, name="a", amount="0.1", ChangedAt=instant(NOON))
        (row,) = rows_of(LINES.open(here).read(NIGHT))
        assert (row["number"], row["row_id"]) == (2**63 - 1, "erp/Lines/DE,9223372036854775807")

    @pytest.mark.parametrize(
        ("given", "token"), [({"@odata.etag": 'W/"7"'}, 'W/"7"'), ({"@etag": '"x"'}, '"x"'), ({}, None)]
    )
    def test_the_version_is_the_etag_where_there_is_one(self, scripted: Scripted, given: Any, token: Any) -> None:
        scripted.says({"value": [thing("A", **given)]}, {"value": []})
        (row,) = rows_of(reader(scripted.url).read(NIGHT))
        assert row["lineage"].get(VERSION) == token

    def test_the_watermark_is_the_latest_change(self, erp: Erp, here: Here) -> None:
        for minutes in (5, 9, 2):
            erp.put("Things", **thing(f"T{minutes}", ChangedAt=instant(NOON + timedelta(minutes=minutes))))
        read = THINGS.open(here)
        list(read.read(NIGHT))
        assert read.watermark == NOON + timedelta(minutes=9)

    def test_a_reason_never_shows_a_personal_value(self, erp: Erp, here: Here) -> None:
        erp.put("Lines", Plant="DE", Number=1, name="a", amount="Ann Miller", ChangedAt=instant(NOON))
        here.personal = ("amount",)
        (page,) = LINES.open(here).read(NIGHT)
        assert [one.owner for one in page.rejected] == ["supply-chain"]
        assert "Ann" not in page.rejected[0].reasons[0]
        assert page.rejected[0].row_id == "erp/Lines/DE,1"


class TestIds:
    def test_filters_for_ids_stay_short(self, erp: Erp, here: Here) -> None:
        codes = [f"{'ä' * (n % 40)}'{n}" for n in range(60)] + [str(n) for n in range(30)]
        for code in codes:
            erp.put("Things", **thing(code))
        found = THINGS.open(here).read_ids([*codes, *codes, "not there"])
        assert found is not None
        rows = rows_of(found)
        assert [row["code"] for row in rows] == codes
        asked = [path.partition("$filter=")[2] for path in erp.paths() if "$skiptoken" not in path]
        assert len(asked) > 4
        assert max(map(len, asked)) <= MOST_CHARACTERS
        assert max(path.count("%20eq%20") for path in asked) <= 24

    def test_what_can_be_no_id_is_not_asked_for(self, erp: Erp, here: Here) -> None:
        found = LINES.open(here).read_ids(["DE", "DE,1 or true", "DE,x", "DE,1,2"])
        assert found is not None
        assert list(found) == []
        assert erp.paths() == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"keys": ()}, "names no column"),
        ({"columns": (NAME, NAME)}, "name declared twice"),
        ({"lag": timedelta(-1)}, "must not be negative"),
        ({"changed": Column("ChangedAt", "changed_at")}, "must be a datetime"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(change: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        replace(THINGS, **change)
