"""What a draft may say, and who is told where it says more: guidelines, wording, expectations, names, the roll-out."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, get_args

import pandas as pd
import pytest

from include.addresses import links_in, strange_links
from include.demo.sandbox.desk import MARK_FIELD
from include.demo.sandbox.desk import PREFIX as DESK_PREFIX
from include.demo.sandbox.model.replies import draft_reply
from include.errors import ConfigurationError
from include.ledger import control
from include.models import Mode, Origin, Record
from include.night.gate.decide import decide
from include.privacy.tokens import Hider
from include.spec.chains import chain_of
from include.spec.contradictions import contradictions
from include.spec.names import FOLDER
from include.spec.prompt import load_prompt
from include.spec.reviewing import Review
from include.spec.use_case import load
from include.systems.desk.declared import DeskReply
from include.use_cases.support_reply.expectations import ANSWER_EXPECTATIONS, guidelines
from include.use_cases.support_reply.fallback import answer
from include.use_cases.support_reply.guidelines import links_of, read_guidelines
from include.use_cases.support_reply.output import Language, Output, Tone
from include.use_cases.support_reply.rows import PREFIX, is_at_desk, name_of, tone_of, wants_reply
from include.use_cases.support_reply.spec import LINKS
from include.use_cases.support_reply.wording import figures_in, promises_in, tongue_of
from include.use_cases.support_triage.output import Category
from tests.core.conftest import Ledger
from tests.core.quality.suites import NIGHT

CASE = load("support_reply")
GUIDELINES = "guidelines.v1.md"
DRAFT: Record = {
    "subject": "Your message",
    "body": "Hello [PERSON_1a2b3c4d],\n\nthank you for your message about the delivery. A colleague looks at it and "
    "answers you here. You find more under https://help.example.com/tracking.\n\nYour support team",
    "language": "en",
    "tone": "plain",
    "guidelines": json.dumps(["GEN-1", "GEN-3", "DEL-1"]),
    "confidence": 0.9,
    "needs_human": None,
    "category": "delivery",
    "priority": "normal",
    "ticket_language": "en",
    "customer_name": "Ada Lind",
}


def failing(**changes: Any) -> set[str]:
    """The expectations that set a draft aside, of those that look at one draft alone."""
    rows = pd.DataFrame([{**DRAFT, **changes}])
    own = [one for one in ANSWER_EXPECTATIONS if one.derive and one.id != "answer_not_told"]
    assert len(own) == 9
    return {one.id for one in own if not one.derive(rows, NIGHT).all()}


def test_a_draft_from_the_guidelines_meets_all_of_them() -> None:
    assert failing() == set()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("link_from_guidelines", {"body": DRAFT["body"] + " See http://evil.example/x"}),
        ("link_from_guidelines", {"body": DRAFT["body"] + " See evil.example/x"}),
        ("link_from_guidelines", {"subject": "evil.example"}),
        ("link_from_guidelines", {"body": DRAFT["body"] + " https://help.example.com/tracking?to=x"}),
        ("contact_from_guidelines", {"body": DRAFT["body"] + " Call us: +1 900 555 0100"}),
        ("contact_from_guidelines", {"body": DRAFT["body"] + " Pay to DE89 3704 0044 0532 0130 00."}),
        ("only_the_customers_name", {"body": DRAFT["body"] + " [URL_1a2b3c4d]"}),
        ("only_the_customers_name", {"body": DRAFT["body"].replace("PERSON", "EMAIL")}),
        ("only_the_customers_name", {"body": DRAFT["body"] + " [PERSON_99999999]"}),
        ("only_the_customers_name", {"subject": "For [PERSON_1a2b3c4d]"}),
        ("only_the_customers_name", {"customer_name": None}),
        ("no_promise", {"body": DRAFT["body"] + " We will refund you."}),
        ("no_promise", {"body": DRAFT["body"] + " Your voucher has been sent."}),
        ("figures_from_guidelines", {"body": DRAFT["body"] + " It takes 3 days."}),
        ("figures_from_guidelines", {"body": DRAFT["body"] + " It costs 20 EUR."}),
        ("figures_from_guidelines", {"body": DRAFT["body"] + " It comes on Friday."}),
        ("figures_from_guidelines", {"body": DRAFT["body"] + " You may return it within 30 days."}),
        ("guidelines_known", {"guidelines": json.dumps(["GEN-1", "XXX-1"])}),
        ("guidelines_known", {"guidelines": json.dumps(["GEN-1", "BIL-1"])}),
        ("guidelines_known", {"guidelines": "[]"}),
        ("language_of_ticket", {"language": "de"}),
        ("language_of_ticket", {"ticket_language": "fr", "language": "fr"}),
        ("tone_as_asked", {"tone": "formal"}),
        ("decision_named", {"priority": "urgent"}),
        ("decision_named", {"category": "refund", "guidelines": json.dumps(["GEN-1"]), "needs_human": " "}),
    ],
)
def test_a_draft_that_says_more_is_named(name: str, changes: Record) -> None:
    assert name in failing(**changes)


def test_a_period_of_a_cited_guideline_may_be_named_in_any_language() -> None:
    cited = {"guidelines": json.dumps(["RET-1"]), "category": "return"}
    german = "Guten Tag,\n\nSie können die Ware innerhalb von dreißig Tagen zurückgeben. Das ist für uns in Ordnung."
    assert failing(**cited, body=german, language="de", ticket_language="de") == set()
    assert failing(**cited, body=german.replace("dreißig", "60"), language="de", ticket_language="de") == {
        "figures_from_guidelines"
    }


def test_rows_without_a_draft_fail_nothing() -> None:
    assert failing(**dict.fromkeys(DRAFT)) == set()


PROMISES = (
    "We will refund you the full amount.",
    "You will receive a voucher.",
    "We'll gladly send you a free replacement.",
    "Your money is on its way.",
    "We guarantee it.",
    "Wir erstatten Ihnen den Betrag.",
    "Das Geld wird Ihnen überwiesen.",
    "Sie erhalten Ihr Geld zurück.",
    "Nous vous remboursons la totalité.",
    "Le remboursement a été accordé.",
    "Nous allons vous rembourser.",
    "Le reembolsaremos el importe.",
    "Recibirá un vale.",
    "El reembolso ha sido aprobado.",
)
NO_PROMISES = (
    "Your request for a refund has arrived.",
    "We have passed your request on to the team that decides on refunds.",
    "You will receive an answer here.",
    "Ihre Erstattungsanfrage ist eingegangen.",
    "Nous avons bien reçu votre demande de remboursement.",
    "Hemos recibido su solicitud de reembolso.",
)


@pytest.mark.parametrize("said", PROMISES)
def test_a_promise_is_told(said: str) -> None:
    assert promises_in(f"Hello,\n{said} Bye") == [said.rstrip(".")]


@pytest.mark.parametrize("said", NO_PROMISES)
def test_what_promises_nothing_is_left(said: str) -> None:
    assert promises_in(said) == []


def test_figures_are_one_in_all_languages() -> None:
    for same in ("within two working days", "innerhalb von 2 Werktagen", "sous deux jours ouvrés", "en 2 días hábiles"):
        assert {"2 workday"} <= {one.value for one in figures_in(same)}, same
    assert {one.value for one in figures_in("1.280,00 EUR or $1,280")} == {"1280"}
    assert figures_in("Have a nice day, Guten Morgen, order 4711-88") == set()


def test_the_language_of_a_text_is_told_by_its_small_words() -> None:
    for language in get_args(Language):
        made = answer({"ticket_language": language, "ticket_body": "x"})
        assert made is not None
        assert tongue_of(made["body"]) == language
    assert tongue_of("OK 4711") is None


@pytest.mark.parametrize("name", ["Ada Lind", "O'Neil", "van der Berg", "J. R. Smith", "Jean-Luc Picard", "李小龙"])
def test_a_name_can_stand_in_a_greeting(name: str) -> None:
    assert name_of(f" {name} ") == name


@pytest.mark.parametrize(
    "said", [None, "", "http://evil.example", "Evil.Example", "a@b.de", "Your refund is approved", "A1", "x" * 61]
)
def test_what_is_no_name_is_left_out(said: str | None) -> None:
    assert name_of(said) is None


def test_a_column_of_names_is_hidden_whole_and_comes_back() -> None:
    hider = Hider("support_reply", "secret")
    for name in ("Will", "ann", "MAY JUNE", "Hope Street"):
        seen, values = hider.hide({"customer_name": name, "ticket_body": f"Regards, {name}."}, CASE.tokenise)
        assert name not in str(seen["customer_name"])
        assert values[seen["customer_name"]] == name


def test_links_are_told_in_disguise_and_other_dots_are_not() -> None:
    for said in ("x https://a.io/b", "evil.example", "EVIL.COM", "ｅvil.com", "evil(dot)com", "a@b.de", "10.0.0.1"):
        assert links_in(said), said
    for said in ("z.B. das", "e.g. this", "at 10.30 Uhr", "version 1.2.3", "Danke.Wir", "order 4711.88", "3.5 kg"):
        assert links_in(said) == [], said
    assert strange_links("See https://A.io/b/.", ["https://a.io/b"]) == []


def test_guidelines_are_those_of_the_prompt_and_cover_every_category() -> None:
    prompt = load_prompt(CASE)
    assert prompt.attached == (GUIDELINES,)
    assert guidelines() == read_guidelines(CASE.folder / GUIDELINES)
    categories = {one.category for one in guidelines().values()}
    assert categories == {"general", *get_args(Category)} - {"other"}
    assert all(f"* {name}: " in prompt.system for name in guidelines())


def test_the_sink_lets_out_the_addresses_of_the_guidelines_and_no_other() -> None:
    (sink,) = CASE.sinks
    assert isinstance(sink, DeskReply)
    assert LINKS == links_of(guidelines().values()) == sink.links
    assert (sink.mark, sink.prefix) == (MARK_FIELD, DESK_PREFIX)


def test_a_changed_guideline_is_a_change_of_the_prompt(tmp_path: Any) -> None:
    from include.spec.prompt import read_prompt

    for name in ("prompt.v1.md", GUIDELINES):
        (tmp_path / name).write_text((CASE.folder / name).read_text(encoding="utf-8"), encoding="utf-8")
    before = read_prompt(tmp_path / "prompt.v1.md").hash
    assert before == load_prompt(CASE).hash
    changed = (tmp_path / GUIDELINES).read_text(encoding="utf-8").replace("30 days", "60 days")
    (tmp_path / GUIDELINES).write_text(changed, encoding="utf-8")
    assert read_prompt(tmp_path / "prompt.v1.md").hash != before


def test_only_tickets_of_the_desk_that_wait_for_an_answer_get_one() -> None:
    assert PREFIX == DESK_PREFIX
    assert [is_at_desk(one) for one in ("HD-12", "12", "HD-", "HD-x", "HD-\u0661")] == [
        True,
        False,
        False,
        False,
        False,
    ]
    assert [wants_reply(*one) for one in (("billing", "de"), ("other", "de"), ("billing", "xx"))] == [
        True,
        False,
        False,
    ]
    assert {tone_of(one) for one in get_args(Category)} == set(get_args(Tone))


def examples() -> list[Record]:
    lines = (FOLDER / "support_reply" / "evals.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_stand_in_drafts_by_the_contract() -> None:
    for one in examples():
        made = draft_reply(one["input"])
        Output.model_validate(made)
        held = {**made, "guidelines": json.dumps(made["guidelines"])}
        assert failing(**{**one["input"], **held}) == set(), one
        assert {name: made[name] for name in one["expected"]} == one["expected"]
        assert not any(made[name] in values for name, values in one.get("must_not", {}).items()), one


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.GATED])
def test_no_draft_goes_out_alone(mode: Mode) -> None:
    output = {**{name: DRAFT[name] for name in Output.model_fields}, "guidelines": ["GEN-1"], "confidence": 1.0}
    assert decide(CASE, mode, Origin.MODEL, 1.0, output).verdict == "review"
    assert decide(replace(CASE, never_alone=None), Mode.AUTO, Origin.MODEL, 1.0, output).verdict == "write"


def test_mode_auto_cannot_be_set_and_what_nobody_decides_is_let_go(ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="can never be auto: it speaks to customers"):
        control.change_control(ledger.service, CASE, "ada", "try", {"mode": Mode.AUTO})
    assert control.read_control(ledger.service, CASE.name).mode is not Mode.AUTO
    late = replace(CASE, review=Review(at_expiry="write"))
    assert any("never alone" in one for one in contradictions(late))
    assert CASE.review.at_expiry == "reject"


def test_its_night_comes_after_triages() -> None:
    assert chain_of("support_reply") == ["support_triage", "support_reply"]
    assert chain_of("crm_lead_scoring") == ["crm_lead_scoring"]
