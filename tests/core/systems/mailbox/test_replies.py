"""What somebody wrote is told apart from what was quoted and from the signature, and never lost."""

from __future__ import annotations

import pytest

from include.settings import ROOT
from include.systems.mailbox.replies import split_reply
from tests.core.systems.mailbox.labelled import REPLIES, labelled, plainest, same

PUBLIC = ROOT.parent / "shared" / "data"
INTENTS = PUBLIC / "email_intent_parakweet" / "Ask0729-fixed.txt"
QUOTED = "\n\n> old words\n> more of them\n"


@pytest.mark.parametrize(
    "attribution",
    [
        "On Mon, Apr 2, 2012 at 6:26 PM, Megan One <a@example.com> wrote:",
        "On Dec 16, 2011, at 12:47 PM, Corey\n<a@example.com>\nwrote:",
        "Am 02.04.2012 um 18:26 schrieb Megan One <a@example.com>:",
        "Le lun. 2 avr. 2012 à 18:26, Megan One <a@example.com> a écrit :",
        "El lun, 2 abr 2012 a las 18:26, Megan (<a@example.com>) escribió:",
        '26.06.2014, 14:41, "Megan" <a@example.com>:',
        "2012-04-02 18:26 GMT+02:00 Megan <a@example.com>\uff1a",
        "Megan One wrote:",
    ],
)
def test_an_attribution_goes_with_what_it_introduces(attribution: str) -> None:
    assert split_reply(f"My words.\n\n{attribution}{QUOTED}").text == "My words."
    assert split_reply(f"My words.\n\n{attribution}\n\nold words without a mark").text == "My words."
    assert split_reply(f"On it.\n{attribution}{QUOTED}").text == "On it."
    assert split_reply(f"Hi,\n{attribution}{QUOTED}\nMy words.").text.split() == ["Hi,", "My", "words."]


@pytest.mark.parametrize(
    "headers",
    [
        "-----Original Message-----\nFrom: a",
        "From: A [mailto:a@example.com]\nSent: Monday\nTo: B\nSubject: x",
        " ------------------------------\n\n*From:* A\n*Sent:* Monday\n*To:* B\n",
        "Von: A\nGesendet: Montag\nAn: B\nBetreff: x",
        "De : A\nEnvoyé : lundi\nÀ : B\nObjet : x",
        "---------- Forwarded message ---------\nFrom: a",
        "________________________________\nFrom: A\nDate: Monday\nSubject: x\n",
    ],
)
def test_what_stands_under_the_headers_of_another_message_is_quoted(headers: str) -> None:
    reply = split_reply(f"My words.\n\n{headers}\n\nOld words.\n\nMore of them.")
    assert (reply.text, reply.quoted) == ("My words.", True)


@pytest.mark.parametrize(
    "signature",
    [
        "--\nMegan One\nExample Ltd",
        "--\nSent by A",
        "_______________________________________________\nriak-users mailing list\nlists@example.com",
        "Sent from my iPhone",
        "Gesendet von meinem Telefon",
        "Best regards,\nMegan One\nExample Ltd.\n+49 30 123456",
        "Mit freundlichen Grüßen\n\nMegan One",
        "Thanks!\nMegan",
        "Megan One\nmegan@example.com\nwww.example.com",
        "Megan One\nSales\n+49 30 1234567",
    ],
)
def test_a_signature_is_told_apart(signature: str) -> None:
    reply = split_reply(f"Please send it.\n\n{signature} \n", "Megan One <megan@example.com>")
    assert (reply.text, reply.signature, reply.quoted) == ("Please send it.", signature.rstrip(), False)


@pytest.mark.parametrize(
    "text",
    [
        "Thanks\nCan you send invoice 4711?",
        "Thank you,\nplease call me tomorrow at five.",
        "On Monday I wrote: call me.",
        "Order 7 -- urgent\nOrder 8 -- not",
        "From: the first of May\nwe are closed.",
        "Call 030 1234567\nor write to a@example.com",
        "Name: Ann\nPhone: 030 1234567\nDate: Monday",
        "One paragraph.\n\nAnother one, with www.example.com in it.",
        "",
    ],
)
def test_words_that_only_look_like_one_stay(text: str) -> None:
    assert split_reply(text, "Bob").text == text


def test_replies_between_the_lines_stay_in_their_order() -> None:
    reply = split_reply("On Monday, A wrote:\n\n> one?\n\nYes.\n\n> two?\n\nNo.\n")
    assert (reply.text, reply.quoted) == ("Yes.\n\nNo.", True)


def test_a_message_that_only_passes_another_on_keeps_its_words() -> None:
    passed_on = "---------- Forwarded message ---------\nFrom: A\nSubject: x\n\nThe words."
    assert split_reply(passed_on).text == passed_on
    assert not split_reply(passed_on).quoted


@pytest.mark.skipif(not PUBLIC.is_dir(), reason=f"the public sets are not in {PUBLIC}")
def test_labelled_messages_are_told_apart_where_the_plainest_rule_fails() -> None:
    assert REPLIES.is_dir()
    known = list(labelled())
    assert len(known) == 28
    wrong = [one.name for one in known if not same(split_reply(one.body, one.sender).text, one.own)]
    assert wrong == []
    assert sum(same(plainest(one.body), one.own) for one in known) < 10


@pytest.mark.skipif(not PUBLIC.is_dir(), reason=f"the public sets are not in {PUBLIC}")
def test_single_sentences_of_business_mail_are_left_as_they_are() -> None:
    sentences = [line.partition("\t")[2] for line in INTENTS.read_text(errors="replace").splitlines()]
    assert len(sentences) > 3_000
    assert [one for one in sentences if not same(split_reply(one).text, one)] == []
