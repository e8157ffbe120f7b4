"""A destination is sent values where the ledger has tokens, and is compared with tokens where it holds those values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from include.ledger.record import record_manifest
from include.models import Record
from include.night.write.outbox import Write
from include.night.write.restored import Restored
from include.night.write.write import write as write_stage
from include.privacy.tokens import tokens_in
from include.run import Night
from include.staging import StagedWriter
from include.systems.port import Outgoing, Sent
from tests.core.night.gate.answers import answer
from tests.core.night.write.conftest import Begin, approve, counts, outbox_of, outcomes_of, rows_in
from tests.core.night.write.conftest import Crm as SandboxCrm

STANDS_FOR = {"[EMAIL_00000001]": "ada@example.com", "[PHONE_00000002]": "=HYPERLINK(1)"}


@dataclass
class Crm:
    """Keeps what it is sent."""

    records: dict[str, Record] = field(default_factory=dict)
    befores: list[Record | None] = field(default_factory=list)
    batch_rows: int = 10
    in_air: int = 1
    creates: bool = True
    calls: int = 3
    retries: int = 1
    checked: bool = False

    def check_contract(self) -> None:
        self.checked = True

    def form(self, values: Record) -> Record:
        return {name: str(value) for name, value in values.items()}

    def holds(self, current: Record, values: Record) -> bool:
        return all(current.get(name) == value for name, value in values.items())

    def read(self, ids: Sequence[str]) -> Mapping[str, Record] | None:
        return {one: self.records[one] for one in ids if one in self.records} if ids else None

    def send(self, writes: Mapping[str, Outgoing]) -> Mapping[str, Sent]:
        self.befores += [one.before for one in writes.values()]
        self.records |= {name: dict(one.values) for name, one in writes.items()}
        return {name: Sent(dict(one.values), "", "") for name, one in writes.items()} | {"7": Sent(None, "rejected")}


def write(number: str, **fields: Any) -> Write:
    return Write({}, number, fields, fields)


def test_what_is_sent_has_values_and_what_comes_back_has_tokens() -> None:
    there = Crm()
    restored = Restored(there)
    one = write("1", summary="mail [EMAIL_00000001]", tags=["[EMAIL_00000001]"], tier="hot")
    restored.expect([one], STANDS_FOR)
    sent = restored.send({"1": Outgoing(one.fields, "once", before={"summary": "was [EMAIL_00000001]"})})
    assert there.records["1"] == {"summary": "mail ada@example.com", "tags": ["ada@example.com"], "tier": "hot"}
    assert there.befores == [{"summary": "was ada@example.com"}]
    assert sent["1"].after == one.fields
    assert sent["7"].after is None
    assert restored.read(["1", "2"]) == {"1": one.fields}
    assert restored.holds(dict(restored.read(["1"]) or {})["1"], one.fields)
    assert restored.read([]) is None


def staged(night: Night, titles: Mapping[str, str]) -> Path:
    """The rows that a run was run on, by contact; where they lie."""
    schema = pa.schema([("row_id", pa.string()), ("job_title", pa.string())])
    with StagedWriter(night.path("good.parquet"), schema) as writer:
        writer.extend({"row_id": f"crm/contacts/{one}", "job_title": title} for one, title in titles.items())
    manifest = writer.manifest(night.run_id, "good")
    record_manifest(night.ledger, manifest)
    return Path(manifest.uri)


def said(night: Night, title: str) -> Record:
    """An answer that repeats what it was shown."""
    shown, _ = night.hider.hide({"job_title": title}, ("job_title",))
    return answer(summary=f"Talk to {shown['job_title']}")


TITLE = "Head of Ops, ada.lovelace@example.com"


def test_the_destination_has_values_and_the_ledger_tokens(begin: Begin, crm: SandboxCrm) -> None:
    one, other = crm.ids(2)
    night = begin(tokenise=("job_title",))
    staged(night, {one: TITLE, other: "Buyer"})
    approved = approve(night, {one: said(night, TITLE), other: answer()})
    assert counts(write_stage(night, approved)) == {"written": 2, "sent": 2, "unchanged": 0, "failed": 0}
    assert crm.read(one)["nl_lead_summary"] == f"Talk to {TITLE}"
    assert "example.com" not in str(outbox_of(night))
    assert tokens_in(outbox_of(night)[one]["after"])
    again = begin(tokenise=("job_title",), external_ref="again")
    staged(again, {one: TITLE, other: "Buyer"})
    repeated = write_stage(again, approve(again, {one: said(again, TITLE), other: answer()}))
    assert counts(repeated) == {"written": 0, "sent": 0, "unchanged": 2, "failed": 0}


def test_a_token_whose_row_is_gone_is_not_delivered(begin: Begin, crm: SandboxCrm) -> None:
    one, other = crm.ids(2)
    before = crm.read(one)
    night = begin(tokenise=("job_title",))
    place = staged(night, {one: TITLE, other: "Buyer"})
    approved = approve(night, {one: said(night, TITLE), other: answer()})
    place.unlink()
    assert counts(write_stage(night, approved)) == {"written": 1, "sent": 1, "unchanged": 0, "failed": 1}
    assert crm.read(one) == before
    assert {key: outcome for key, (outcome, _) in outcomes_of(night).items()} == {one: "dead_letter", other: "written"}
    assert rows_in(night, "dead_letter")[one]["cause"] == "values_gone"
    staged(night, {one: TITLE, other: "Buyer"})
    assert counts(write_stage(night, approved))["written"] == 2
    assert crm.read(one)["nl_lead_summary"] == f"Talk to {TITLE}"


def test_a_staged_row_that_was_changed_restores_nothing(begin: Begin, crm: SandboxCrm) -> None:
    (one,) = crm.ids(1)
    night = begin(tokenise=("job_title",))
    approved = approve(night, {one: said(night, TITLE)})
    staged(night, {one: "Head of Ops, eve@evil.example"})
    assert counts(write_stage(night, approved))["failed"] == 1


def test_what_somebody_else_wrote_there_stays_theirs() -> None:
    there = Crm(records={"1": {"summary": "call ada@example.com back"}})
    restored = Restored(there)
    restored.expect([write("1", summary="mail [EMAIL_00000001]")], STANDS_FOR)
    assert restored.read(["1"]) == there.records


def test_a_value_is_as_plain_as_any_text_that_goes_out() -> None:
    there = Crm()
    restored = Restored(there)
    one = write("1", summary="[PHONE_00000002]")
    restored.expect([one], STANDS_FOR)
    restored.send({"1": Outgoing(one.fields, "once")})
    assert there.records["1"] == {"summary": "'=HYPERLINK(1)"}
    assert restored.read(["1"]) == {"1": one.fields}


def test_a_write_without_tokens_and_all_else_is_as_there() -> None:
    there = Crm()
    restored = Restored(there)
    restored.check_contract()
    restored.expect([write("1", tier="hot")], STANDS_FOR)
    restored.send({"1": Outgoing({"tier": "[EMAIL_00000001]"}, "once")})
    assert there.records["1"] == {"tier": "[EMAIL_00000001]"}
    assert there.checked
    assert restored.form({"score": 1}) == {"score": "1"}
    assert (restored.batch_rows, restored.in_air, restored.creates) == (10, 1, True)
    assert (restored.calls, restored.retries) == (3, 1)
