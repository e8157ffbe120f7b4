"""Writing OData: versions, records that are not there, lost answers, refusals, and the form of values."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from include.errors import AccessDenied, ConfigurationError, ContractBroken, SystemUnavailable
from include.models import Record
from include.systems.odata.declared import ODataSink
from include.systems.odata.writing import ODataDestination
from include.systems.port import VERSION, Guard, Outgoing, Sent
from tests.core.systems.odata.conftest import Erp, Here, Said, Scripted

FIELDS = {"score": "score", "note": "note"}
SCORES = ODataSink(system="erp", object="Scores", fields=FIELDS, keys=("Id",))


def send(there: ODataDestination, one: str = "1", version: str | None = None, **values: Any) -> Sent:
    values = values or {"score": 7, "note": "ours"}
    (sent,) = there.send({one: Outgoing(there.form(values), once="run/1", version=version)}).values()
    return sent


def held(erp: Erp, one: str = "1") -> Record:
    found = erp.store.find("Scores", (one,))
    return found.values if found else {}


def version(erp: Erp, one: str = "1") -> str:
    found = erp.store.find("Scores", (one,))
    return found.etag if found else ""


class TestVersions:
    def test_a_version_goes_with_the_write_just_as_it_came(self, erp: Erp, here: Here) -> None:
        erp.put("Scores", Id="1", score="0", note="")
        sent = send(SCORES.open(here), version=version(erp))
        assert sent.after == {"score": "7", "note": "ours", VERSION: version(erp)}
        assert [headers["If-Match"] for verb, _, headers in erp.asked if verb == "PATCH"] == ['W/"2"']

    def test_a_person_s_change_is_left_alone(self, erp: Erp, here: Here) -> None:
        erp.put("Scores", Id="1", score="0", note="")
        was = version(erp)
        erp.put("Scores", Id="1", note="a person's")
        assert send(SCORES.open(here), version=was).cause == "changed_since_read"
        assert held(erp)["note"] == "a person's"

    @pytest.mark.parametrize("status", [409, 412])
    def test_services_differ_in_how_they_say_it(self, scripted: Scripted, status: int) -> None:
        refusal = {"error": {"code": "Changed", "message": "Another user has changed the record."}}
        now = {"Id": "1", "score": "0", "@odata.etag": 'W/"new"'}
        scripted.says(Said(refusal, status), now)
        assert send(SCORES.open(Here(scripted.url)), version='W/"old"').cause == "changed_since_read"

    def test_a_conflict_that_is_about_something_else_is_a_refusal(self, scripted: Scripted) -> None:
        refusal = {"error": {"code": "Locked", "message": "The period is closed"}}
        scripted.says(Said(refusal, 409), {"Id": "1", "@odata.etag": 'W/"same"'})
        sent = send(SCORES.open(Here(scripted.url)), version='W/"same"')
        assert (sent.cause, sent.detail) == ("rejected_by_destination", "409 The period is closed")

    def test_where_a_version_is_required_ours_are_written_over_the_present_one(self, erp: Erp, here: Here) -> None:
        erp.change_set("Scores", needs_etag=True)
        erp.put("Scores", Id="1", score="0", note="a person's")
        assert send(SCORES.open(here), score=7).after is not None
        assert held(erp)["note"] == "a person's"
        assert [headers["If-Match"] for verb, _, headers in erp.asked if verb == "PATCH"] == ["*", 'W/"2"']

    def test_where_a_version_is_required_and_others_write_too_a_person_decides(self, erp: Erp, here: Here) -> None:
        erp.change_set("Scores", needs_etag=True)
        erp.put("Scores", Id="1", score="0", note="a person's")
        guard: Guard = "unchanged_since_read"
        assert send(replace(SCORES, guard=guard).open(here)).cause == "changed_since_read"
        assert held(erp) == {**held(erp), "score": "0", "note": "a person's"}

    def test_a_record_that_changes_again_and_again_is_given_up(self, scripted: Scripted) -> None:
        answers = [Said({"error": {"message": "needed"}}, 428), {"@odata.etag": 'W/"1"'}]
        for number in range(2, 9):
            answers += [Said({"error": {"message": "changed"}}, 412), {"@odata.etag": f'W/"{number}"'}]
        scripted.says(*answers)
        sent = send(SCORES.open(Here(scripted.url)))
        assert (sent.cause, len(scripted.paths("PATCH"))) == ("changed_since_read", 3)
        assert [h["If-Match"] for verb, _, h in scripted.asked if verb == "PATCH"] == ["*", 'W/"1"', 'W/"2"']

    def test_a_service_without_versions_that_asks_for_one_refuses(self, scripted: Scripted) -> None:
        scripted.says(Said({"error": {"message": "needed"}}, 428), {"Id": "1"})
        assert send(SCORES.open(Here(scripted.url))).cause == "rejected_by_destination"


class TestMissing:
    def test_nothing_is_made_by_an_update(self, erp: Erp, here: Here) -> None:
        assert send(SCORES.open(here)).cause == "record_missing"
        assert erp.store.all("Scores") == []

    def test_a_record_that_was_read_and_is_gone_is_not_made_anew(self, erp: Erp, here: Here) -> None:
        assert send(replace(SCORES, creates=True).open(here), version='W/"5"').cause == "record_missing"
        assert erp.store.all("Scores") == []

    def test_what_is_made_has_its_key_and_values(self, erp: Erp, here: Here) -> None:
        sent = send(replace(SCORES, creates=True).open(here), "it's new/1")
        assert sent.after == {"score": "7", "note": "ours", VERSION: version(erp, "it's new/1")}
        assert held(erp, "it's new/1")["score"] == "7"

    def test_a_record_that_somebody_else_makes_meanwhile_is_left_alone(self, scripted: Scripted) -> None:
        absent, taken = Said({"error": {"message": "none"}}, 404), Said({"error": {"message": "taken"}}, 409)
        scripted.says(absent, absent, taken, {"Id": "1", "score": "7", "note": "another's"})
        assert send(replace(SCORES, creates=True).open(Here(scripted.url))).cause == "changed_since_read"

    def test_where_others_write_too_a_record_that_was_not_there_is_only_made(self, erp: Erp, here: Here) -> None:
        there = replace(SCORES, creates=True, guard="unchanged_since_read").open(here)
        assert send(there, "new").after is not None
        erp.put("Scores", Id="1", score="0", note="a person's")
        assert send(there).cause == "changed_since_read"
        assert held(erp)["note"] == "a person's"
        assert erp.paths("PATCH") == []

    def test_an_id_that_can_be_no_key_is_not_sent(self, erp: Erp, here: Here) -> None:
        there = ODataSink(system="erp", object="Lines", fields={"n": "name"}, keys=("Plant", "Number")).open(here)
        sent = there.send({"DE,1)/x": Outgoing({"name": "a"}, once="1")})
        assert sent["DE,1)/x"].cause == "record_missing"
        assert erp.paths("PATCH") == []


class TestLostAnswers:
    def test_a_conditional_write_whose_answer_was_lost_is_known_to_have_arrived(self, erp: Erp, here: Here) -> None:
        erp.put("Scores", Id="1", score="0", note="")
        was, changes = version(erp), erp.store.changes
        erp.fail(rates={"reset": 1.0}, only="write", first_asks=1)
        assert send(SCORES.open(here), version=was).after is not None
        assert (erp.store.changes - changes, len(erp.paths("PATCH"))) == (1, 1)

    def test_a_write_that_is_carried_out_late_is_not_taken_for_somebody_else_s(self, scripted: Scripted) -> None:
        before, ours = {"Id": "1", "score": "0"}, {"Id": "1", "score": "7", "note": "ours"}
        after = {**ours, "@odata.etag": 'W/"new"'}
        scripted.says(Said({}, 503), {**before, "@odata.etag": 'W/"old"'}, Said({}, 412), after)
        sent = send(SCORES.open(Here(scripted.url)), version='W/"old"')
        assert sent.after == {"score": "7", "note": "ours", VERSION: 'W/"new"'}

    def test_an_insert_that_is_carried_out_late_is_not_taken_for_somebody_else_s(self, scripted: Scripted) -> None:
        absent, ours = Said({"error": {"message": "none"}}, 404), {"Id": "1", "score": "7", "note": "ours"}
        scripted.says(absent, absent, Said({}, 503), absent, Said({}, 409), ours)
        assert send(replace(SCORES, creates=True).open(Here(scripted.url))).after == {"score": "7", "note": "ours"}
        assert len(scripted.paths("POST")) == 2

    @pytest.mark.parametrize("fault", ["http_500", "http_503"])
    def test_a_write_that_did_not_arrive_is_sent_again(self, erp: Erp, here: Here, fault: str) -> None:
        erp.put("Scores", Id="1", score="0", note="")
        erp.fail(rates={fault: 1.0}, only="write", first_asks=1)
        there = SCORES.open(here)
        assert send(there).after is not None
        assert held(erp)["note"] == "ours"
        assert (len(erp.paths("PATCH")), there.retries) == (2, 1)

    def test_a_limit_that_refused_a_write_needs_no_look(self, erp: Erp, here: Here) -> None:
        erp.put("Scores", Id="1", score="0", note="")
        erp.fail(rates={"rate_limited": 1.0}, only="write", first_asks=1)
        assert send(SCORES.open(here)).after is not None
        assert (len(erp.paths("PATCH")), erp.paths("GET")) == (2, [])

    def test_a_lost_insert_over_another_ones_record_is_left_to_a_person(self, scripted: Scripted) -> None:
        absent, down = Said({"error": {"message": "none"}}, 404), Said({}, 500)
        scripted.says(absent, absent, down, {"Id": "1", "score": "3", "note": "another's"})
        assert send(replace(SCORES, creates=True).open(Here(scripted.url))).cause == "changed_since_read"
        assert len(scripted.paths("POST")) == 1

    def test_a_service_that_stays_down_is_unavailable_and_no_key_is_told(
        self, erp: Erp, here: Here, caplog: pytest.LogCaptureFixture
    ) -> None:
        erp.put("Scores", Id="ann@example.org", score="0", note="")
        erp.fail(rates={"http_500": 1.0}, only="write")
        with pytest.raises(SystemUnavailable, match="PATCH Scores: answered 500, 5 times") as error:
            send(SCORES.open(here), "ann@example.org")
        assert "ann" not in str(error.value) + caplog.text
        assert caplog.records


class TestAnswers:
    def test_an_answer_without_a_body_has_the_version_in_its_header(self, scripted: Scripted) -> None:
        scripted.says(Said(None, 204, {"ETag": 'W/"9"'}))
        sent = send(SCORES.open(Here(scripted.url)))
        assert sent.after == {"score": "7", "note": "ours", VERSION: 'W/"9"'}

    def test_a_refusal_names_the_property_and_not_the_value(self, erp: Erp, here: Here) -> None:
        erp.put("Scores", Id="1", score="0", note="")
        sent = send(SCORES.open(here), note="Ann Miller, 4 Elm Street, whose file is open")
        assert (
            sent.detail
            == "400 The value '…' of property 'note' is no Edm.String: longer than 40 characters".replace("'…'", "…")
        )

    @pytest.mark.parametrize("status", [400, 413, 422, 423])
    def test_what_concerns_one_record_stops_no_other(self, scripted: Scripted, status: int) -> None:
        scripted.says(Said({"error": {"code": "x", "message": "no"}}, status))
        assert send(SCORES.open(Here(scripted.url))) == Sent(None, "rejected_by_destination", f"{status} no")


class TestForgery:
    """SAP Gateway wants a token with each change, and the cookie that came with it.

    https://help.sap.com/saphelp_em92/helpdata/en/b3/5c22518bc72214e10000000a44176d/content.htm
    """

    LACKING = Said(
        {"error": {"code": "403", "message": "CSRF token validation failed"}}, 403, {"X-CSRF-Token": "Required"}
    )

    def test_a_token_is_fetched_and_kept_with_its_cookie(self, scripted: Scripted) -> None:
        given = Said({"value": []}, 200, {"X-CSRF-Token": "t1", "Set-Cookie": "sap-XSRF_X_100=c1; path=/"})
        scripted.says(self.LACKING, given, Said(None, 204))
        here = Here(scripted.url, sessions=1)
        there = SCORES.open(here)
        assert send(there).after is not None
        assert send(there).after is not None
        assert [verb for verb, _, _ in scripted.asked] == ["PATCH", "GET", "PATCH", "PATCH"]
        assert scripted.asked[1][1:2] == ("/api/v4/",)
        assert scripted.asked[1][2]["X-CSRF-Token"] == "Fetch"
        for _, _, headers in scripted.asked[2:]:
            assert (headers["X-CSRF-Token"], headers["Cookie"]) == ("t1", "sap-XSRF_X_100=c1")
        assert (there.calls, there.retries) == (5, 0)

    @pytest.mark.parametrize("fetched", [Said({}, 200), Said({"error": {}}, 403)])
    def test_without_a_token_it_is_access_denied(self, scripted: Scripted, fetched: Said) -> None:
        scripted.says(self.LACKING, fetched)
        with pytest.raises(AccessDenied, match="403"):
            send(SCORES.open(Here(scripted.url)))
        assert len(scripted.asked) == 2

    def test_another_refusal_asks_for_no_token(self, scripted: Scripted) -> None:
        scripted.says(Said({"error": {}}, 403))
        with pytest.raises(AccessDenied, match="403"):
            send(SCORES.open(Here(scripted.url)))
        assert len(scripted.asked) == 1


class TestForm:
    @pytest.mark.parametrize(
        ("name", "value", "form"),
        [
            ("score", 7, "7"),
            ("score", 7.12345, "7.123"),
            ("score", Decimal("2.5000"), "2.5"),
            ("score", "1e2", "100"),
            ("score", 0.0005, "0"),
            ("score", "much", "much"),
            ("note", 7.0, "7"),
            ("note", True, "true"),
            ("note", ["a", 1], '["a", 1]'),
            ("note", None, None),
            ("Rank", 3.0, 3),
            ("Rank", "3", 3),
            ("Rank", 3.5, 3.5),
            ("Total", 2**60 + 1, str(2**60 + 1)),
            ("ChangedAt", datetime(2026, 11, 18, 3, tzinfo=UTC), "2026-11-18T03:00:00Z"),
            ("ChangedAt", "2026-11-18T04:00:00+01:00", "2026-11-18T03:00:00Z"),
        ],
    )
    def test_values_as_the_service_stores_them(self, erp: Erp, here: Here, name: str, value: Any, form: Any) -> None:
        there = SCORES.open(here)
        formed = there.form({name: value})
        assert formed == {name: form}
        assert there.form(formed) == json.loads(json.dumps(formed))
        assert there.holds(formed, {name: value})

    def test_numbers_are_the_same_however_they_are_written(self, erp: Erp, here: Here) -> None:
        there = SCORES.open(here)
        assert there.holds({"score": "7.000", "note": "a"}, {"score": 7, "note": "a"})
        assert not there.holds({"score": "7.001", "note": "a"}, {"score": 7, "note": "a"})
        assert not there.holds({"score": None, "note": "a"}, {"score": 0, "note": "a"})

    def test_long_numbers_are_announced_as_texts(self, erp: Erp, here: Here) -> None:
        erp.put("Scores", Id="1", score="0", note="")
        fields = {"total": "Total", "score": "score"}
        there = replace(SCORES, fields=fields).open(here)
        assert send(there, Total=2**60 + 1, score=1.25).after == {
            "Total": str(2**60 + 1),
            "score": "1.25",
            VERSION: version(erp),
        }
        assert send(replace(SCORES, fields={"note": "note"}).open(here), note="x").after is not None
        kinds = [headers["Content-Type"] for verb, _, headers in erp.asked if verb == "PATCH"]
        assert kinds == ["application/json;IEEE754Compatible=true", "application/json"]


class TestContract:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"fields": {"score": "scores"}}, "no 'scores'; closest: 'score'"),
            ({"fields": {"t": "ChangedAt"}}, "'ChangedAt' is read-only"),
            ({"object": "Score"}, "no 'Score'; closest: 'Scores'"),
            ({"keys": ("Name",)}, "the key is Id, not Name"),
        ],
    )
    def test_what_cannot_be_written_is_known_before(self, erp: Erp, here: Here, change: Any, words: str) -> None:
        with pytest.raises(ContractBroken, match=words):
            replace(SCORES, **change).open(here).check_contract()
        assert not erp.paths("PATCH")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"keys": ()}, "must name properties"),
            ({"fields": {}}, "must name properties"),
            ({"fields": {"x": "Id"}}, "Id is a key"),
            ({"guard": "append_once"}, "cannot be read back"),
            ({"each": "lines"}, "`each` needs a key"),
        ],
    )
    def test_a_declaration_that_cannot_work_is_refused(self, change: Any, words: str) -> None:
        with pytest.raises(ConfigurationError, match=words):
            replace(SCORES, **change)
