"""Personal values are found by their form wherever they stand, and nothing else is."""

from __future__ import annotations

import hashlib
import json
import random
import time
import uuid
from collections.abc import Callable

import pytest

from include.canonical import mask
from include.personal import find_values, scrub, token_of, tokenise, tokenise_all, without_echo

SECRET = "a secret"
KNOWN = [
    ("Head of Ops (ada.lovelace+crm@example.co.uk)", "Head of Ops ([e-mail])"),
    (
        "<ADA@EXAMPLE.COM>, mailto:ada%40example.com and ada\uff20example.com",
        "<[e-mail]>, mailto:[e-mail] and [e-mail]",
    ),
    ("m\u00fcller@b\u00fccher.example, ada@xn--bcher-kva.example", "[e-mail], [e-mail]"),
    ("call +49 (0)30 1234567 or 0049 30 1234567", "call [phone] or [phone]"),
    ("+4915112345678; (415) 555-2671 x23; 1-415-555-2671", "[phone]; [phone]; [phone]"),
    ("Tel.: 030/1234567, 0176 12345678, 06 12 34 56 78", "Tel.: [phone], [phone], [phone]"),
    ("my mobile is 699 956 915", "my mobile is [phone]"),
    ("Phone: 030 1234567 / 0176 12345678", "Phone: [phone] / [phone]"),
    ("+49 30 1234567 2026-11-20 10:00", "[phone] 2026-11-20 10:00"),
    ("DE89 3704 0044 0532 0130 00 please, gb59ifue40226315499137", "[iban] please, [iban]"),
    ("4111 1111 1111 1111 12/27, 378282246310005, 5555-5555-5555-4444", "[card] 12/27, [card], [card]"),
    ("key sk-proj-abcdefghijklmnop1234567890", "key [key]"),
    ("pat-na1-11111111-2222-4333-8444-555555555555", "[key]"),
    ("Authorization: Bearer abcDEF123456.xyz", "Authorization: Bearer [key]"),
    ("postgresql://svc:hunter2@db.internal:5432/x", "postgresql://[key]@db.internal:5432/x"),
    ("api_key: 'abcd1234efgh', password=hunter2hunter", "api_key: '[key]', password=[key]"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA1\n-----END RSA PRIVATE KEY-----", "[key]"),
    (
        json.dumps({"a": "x\nada@example.com\n+49 30 1234567\t030/1234567"}),
        '{"a": "x\\n[e-mail]\\n[phone]\\t[phone]"}',
    ),
]
KEPT = [
    "DE89 3704 0044 0532 0130 01",  # the checksum does not fit
    "4111 1111 1111 1112",
    "2026-11-20T02:00:00+00:00 - 20.11.2026 10:15, 11/20/2026 and 20261120T0200",
    "crm_lead_scoring-20261120T0200-20261121T0200-1",
    "crm/contacts/123456789012 in firmographics_2026-11-20.csv:4711",
    "hs_object_id=51234567890, order 4711-0815-1234, PO 12345678, invoice INV/2026/004711",
    "max_tokens: 51234567, tokens 1234567, 9,876,543.21 and 1.234.567,00 or 706 005 660 860",
    "192.168.100.200:5432, version 10.0.19045.3803, 52.520008, 13.404954",
    "logo@2x.png, lodash@4.17.21, @ada, a@b",
    "telnet 127.0.0.1 52698",
    "gpt-4o-mini-2024-07-18",
]


@pytest.mark.parametrize(("text", "scrubbed"), KNOWN)
def test_values_are_told_by_their_form(text: str, scrubbed: str) -> None:
    assert scrub(text) == scrubbed


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_one_stays(text: str) -> None:
    assert scrub(text) == text


def _identifiers(random_: random.Random) -> dict[str, Callable[[], str]]:
    def digits(count: int) -> str:
        return "".join(random_.choices("0123456789", k=count))

    def letters(count: int) -> str:
        return "".join(random_.choices("ABCDEFGHKLMNPRSTUVWXYZ", k=count))

    return {
        "uuid": lambda: str(uuid.UUID(int=random_.getrandbits(128))),
        "sha256": lambda: hashlib.sha256(digits(9).encode()).hexdigest(),
        "token": lambda: f"token:{random_.getrandbits(48):012x}",
        "object of a CRM": lambda: str(random_.randint(10**10, 4 * 10**11)),
        "row": lambda: f"crm/contacts/{digits(12)}",
        "order": lambda: str(random_.randint(10**5, 10**12)),
        "order of a shop": lambda: f"{digits(3)}-{digits(7)}-{digits(7)}",
        "padded": lambda: digits(6).zfill(10),
        "article": lambda: f"{letters(3)}-{digits(4)}-{letters(2)}{digits(2)}",
        "milliseconds": lambda: str(random_.randint(15 * 10**11, 19 * 10**11)),
        "snowflake": lambda: str(random_.randint(10**18, 19 * 10**17)),
        "time": lambda: (
            f"2026-{random_.randint(1, 12):02d}-{random_.randint(1, 28):02d}T0{random_.randint(1, 9)}:00:00Z"
        ),
        "numbers": lambda: " ".join(str(random_.randint(1, 5000)) for _ in range(3)),
    }


def test_identifiers_dates_and_hashes_stay() -> None:
    eaten = []
    for name, make in _identifiers(random.Random(7)).items():
        for text in (make() for _ in range(400)):
            for form in (text, f"Checked {text} for the night.", json.dumps({"value": text, "row_id": text})):
                eaten += [(name, form)] * bool(find_values(form))
    assert not eaten[:5]


def test_equal_values_have_the_token_of_a_declared_column() -> None:
    declared = mask({"email": "ada@example.com"}, ["email"], SECRET)["email"]
    assert tokenise("CTO, ada@example.com", SECRET) == f"CTO, {declared}"
    assert mask({"job_title": "CTO, ada@example.com"}, ["email"], SECRET) == {"job_title": f"CTO, {declared}"}
    assert tokenise("ada@example.com", "another secret") != declared


def test_tokens_are_not_tokenised_again() -> None:
    for text, _ in KNOWN:
        once = tokenise(text, SECRET)
        assert once != text
        assert tokenise(once, SECRET) == once
    digits = "token:" + "4" * 12
    assert tokenise(f"phone {digits}", SECRET) == f"phone {digits}"


def test_a_name_says_what_the_text_below_it_is() -> None:
    given = {"mobile": "699 956 915", "password": "tiger", "rows": ["699 956 915", 7, None], "ada@example.com": True}
    assert tokenise_all(given, SECRET) == {
        "mobile": token_of("699 956 915", SECRET),
        "password": token_of("tiger", SECRET),
        "rows": ["699 956 915", 7, None],
        token_of("ada@example.com", SECRET): True,
    }


def test_what_a_vendor_repeats_of_a_prompt_is_cut() -> None:
    sent = 'Score this lead.\n{"job_title": "Ada Lovelace, Countess"}'
    said = "Invalid value 'Ada Lovelace, Countess' at messages[1]: unsupported"
    assert without_echo(said, sent) == "Invalid value '[echo]' at messages[1]: unsupported"
    assert without_echo("Unsupported parameter: 'temperature'", sent) == "Unsupported parameter: 'temperature'"
    assert without_echo(said, "") == said


HOSTILE = [
    "4111111111111111 ",
    "(415) 555-2671 ",
    "a@",
    "1 ",
    "GB59 ",
    "eyJ",
    "tel ",
    "://a:",
    "password=",
    "a.b-",
    "1x-",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_texts_take_no_longer_than_their_length(piece: str) -> None:
    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        began = time.process_time()
        find_values(text)
        return time.process_time() - began

    assert seconds(80_000) < 20 * max(seconds(8_000), 0.02)
