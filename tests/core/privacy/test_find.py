"""Personal values in texts for a model, one kind after the other, and what only looks like one."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

import pytest

from include.demo.sandbox.seed.tickets import make_tickets
from include.personal import Found
from include.privacy.find import _apart, find_personal
from include.settings import ROOT


def masked(text: str) -> str:
    """The text with the kind of each value in its place."""
    for one in reversed(find_personal(text)):
        text = f"{text[: one.start]}[{one.kind}]{text[one.end :]}"
    return text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("they do not answer at 78 651 450", "they do not answer at [phone]"),
        ("the office is 78 65 14 50 now", "the office is [phone] now"),
        ("text me on 0961-7596216 please", "text me on [phone] please"),
        ("my driver's license number is U62928788557186", "my driver's license number is [licence]"),
        ("passport no. C01X00T47 expires soon", "passport no. [passport] expires soon"),
        ("his ssn is 853-37-1694", "his ssn is [national id]"),
        ("853-37-1694 is on the form", "[national id] is on the form"),
        ("CPF 390.533.447-05", "CPF [national id]"),
        ("VAT id DE136695976 of the shop", "VAT id [vat id] of the shop"),
        ("we are DE136695976", "we are [vat id]"),
        ("the login came from 179.177.214.91", "the login came from [ip]"),
        ("and from 6e40:4041:c617:e898:c11:40d2:c669:2eb4.", "and from [ip]."),
        ("see https://example.com/u/ada.lovelace?s=1.", "see [url]."),
        ("date of birth: 12 March 1984, male", "date of birth: [birth], male"),
        ("zip code 75534-030 as before", "zip code [postcode] as before"),
        ("PLZ: 50667", "PLZ: [postcode]"),
        ("I live at 14 Crown Street, London SW1A 1AA.", "I live at [address]."),
        ("Ich wohne in der Lindenstra\u00dfe 17, 50674 K\u00f6ln", "Ich wohne in der [address]"),
        ("Dear Mrs Lovelace,\nthank you", "Dear Mrs [person],\nthank you"),
        ("My name is Siobhan McAllister and I need help", "My name is [person] and I need help"),
        ("the printer is broken\n\nBest regards,\nNgozi Okafor", "the printer is broken\n\nBest regards,\n[person]"),
        (
            "Guten Tag, mein Name ist Katarzyna Vogel, der Drucker druckt nicht.",
            "Guten Tag, mein Name ist [person], der Drucker druckt nicht.",
        ),
        (
            "Die Rechnung ist falsch.\nViele Gr\u00fc\u00dfe\nHenrike Osterkamp",
            "Die Rechnung ist falsch.\nViele Gr\u00fc\u00dfe\n[person]",
        ),
        (
            "Bonjour, ma commande est perdue.\nCordialement,\nAur\u00e9lie Lefebvre",
            "Bonjour, ma commande est perdue.\nCordialement,\n[person]",
        ),
        (
            "Hola, soy Mart\u00edn Echeverr\u00eda y no puedo entrar en mi cuenta",
            "Hola, soy [person] y no puedo entrar en mi cuenta",
        ),
        ("my card 4111 1111 1111 1111, the key sk-proj-abcdefghijklmnop1234567890", "my card [card], the key [key]"),
    ],
)
def test_is_found(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "The export to CSV fails since the update to version 10.0.19045.3803.",
        "Order 4711-0815-1234 of 2026-11-20 10:15 has not arrived, invoice INV/2026/004711 is open.",
        "It costs 1 234 567 EUR, or 9,876,543.21 USD, for 1,000 units.",
        "Tracking number 1Z 999 AA1 0123 4567 84 is unknown",
        "853-37-16944 and 000-12-3456 are part numbers",
        "ping 127.0.0.1 works",
        "order 78 65 14 50 is late",
        "my card was declined twice today and I don't know why",
        "How do I reset a password? Where is my refund?",
    ],
)
def test_stays(text: str) -> None:
    assert masked(text) == text


def test_of_two_that_overlap_nothing_is_left_to_read() -> None:
    text = "Ship to 14 Crown Street, 10115 Berlin, phone +49 30 1234567, ada@example.com"
    said = masked(text)
    assert not any(part in said for part in ("Crown", "14", "10115", "1234567", "ada"))


def test_in_no_language_of_tickets_much_is_taken_that_is_nobodys() -> None:
    """They are misspelt on purpose, and what they are about was not among what the model was fitted on."""
    words, taken = Counter[str](), Counter[str]()
    for ticket in make_tickets(600, 5):
        text = f"{ticket['subject']}\n{ticket['body']}".replace("Jo", "")
        masked_places = {at for one in find_personal(text) for at in range(one.start, one.end)}
        for hit in re.finditer(r"\w+", text):
            words[ticket["language"]] += 1
            taken[ticket["language"]] += hit.start() in masked_places
    assert len(words) == 4
    assert {
        language: taken[language] / count for language, count in words.items() if taken[language] / count > 0.1
    } == {}


def test_what_two_finders_share_is_one_value_and_the_rest_another() -> None:
    text = "abcd efgh ijkl"
    assert _apart(text, [Found("phone", 0, 9), Found("person", 5, 14)]) == [
        Found("phone", 0, 9),
        Found("person", 10, 14),
    ]
    assert _apart(text, [Found("address", 0, 14), Found("card", 5, 9)]) == [
        *(Found("address", 0, 4), Found("card", 5, 9), Found("address", 10, 14))
    ]
    assert _apart(text, [Found("url", 5, 9), Found("person", 0, 14)]) == [Found("person", 0, 14)]


def test_nothing_is_loaded_before_a_text_is_looked_at() -> None:
    """DAG files and the start of a stage do not pay for it."""
    code = (
        "import sys; import include.privacy.find, include.night.enrich.enrich, include.use_cases.support_triage.spec;"
        "found = {'phonenumbers', 'stdnum', 'stdnum.iban'} & set(sys.modules); assert not found, found;"
        "from include.privacy.tagging import read_weights; assert read_weights.cache_info().currsize == 0"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
