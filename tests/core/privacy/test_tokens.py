"""Tokens in the place of values and back: the same every time, of this row alone, and nothing that was paid with."""

from __future__ import annotations

import random
import re

import pytest

from include.personal import tokenise
from include.privacy import tokens as module
from include.privacy.tokens import NAMES, Hider, restore, tokens_in, without_payment
from tests.core.privacy.public_pii import SET, read_set

SECRET = "a secret"
HIDER = Hider("support_triage", SECRET)
ROW = {
    "subject": "Invoice for Siobhan McAllister",
    "body": "My name is Siobhan McAllister, siobhan@example.com, phone +49 30 1234567.\nOr 0049 30 1234567.",
    "plan": "team",
}
COLUMNS = ("subject", "body")


def hidden(text: str, hider: Hider = HIDER) -> str:
    return str(hider.hide({"body": text}, ("body",))[0]["body"])


def test_values_become_tokens_and_come_back() -> None:
    seen, values = HIDER.hide(ROW, COLUMNS)
    assert not re.search(r"Siobhan|example|1234567", str(seen))
    assert seen["plan"] == "team"
    summary = f"{seen['subject']}: mail {re.search(r'.EMAIL_[0-9a-f]{8}.', seen['body'])[0]}"
    assert restore({"summary": summary}, values) == {
        "summary": "Invoice for Siobhan McAllister: mail siobhan@example.com"
    }


def test_a_value_has_one_token_in_all_of_a_row_and_in_every_run() -> None:
    seen, _ = HIDER.hide(ROW, COLUMNS)
    assert len(set(re.findall(r"\[PERSON_\w+\]", str(seen)))) == 1
    assert seen == Hider("support_triage", SECRET).hide(ROW, COLUMNS)[0]


def test_tokens_of_another_use_case_or_secret_are_others() -> None:
    mine = tokens_in(HIDER.hide(ROW, COLUMNS)[0])
    assert len(mine) >= 3
    for other in (Hider("crm_lead_scoring", SECRET), Hider("support_triage", "another secret")):
        assert not mine & tokens_in(other.hide(ROW, COLUMNS)[0])


def test_a_value_found_in_one_column_is_hidden_in_the_others() -> None:
    row = {"subject": "again: 99 668472", "body": "They do not answer at 99 668472."}
    assert hidden(row["subject"]) == row["subject"]
    seen, _ = HIDER.hide(row, COLUMNS)
    assert re.fullmatch(r"again: \[PHONE_\w+\]", seen["subject"])


def test_a_text_that_looks_like_a_token_comes_back_as_it_came() -> None:
    real = re.search(r"\[EMAIL_\w+\]", hidden("write to ada@example.com"))[0]
    seen, values = HIDER.hide({"body": f"{real} and [PERSON_00000000] wrote, ada@example.com too"}, ("body",))
    assert seen["body"].count(real) == 1, "the row's own text passes for the token of another value"
    assert restore(seen["body"], values) == f"{real} and [PERSON_00000000] wrote, ada@example.com too"


def test_payment_and_keys_go_for_good() -> None:
    seen, values = HIDER.hide(
        {"body": "my card 4111 1111 1111 1111 and the key sk-proj-abcdefghijklmnop1234567890"}, ("body",)
    )
    assert seen["body"] == "my card [CARD] and the key [KEY]"
    assert values == {}


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("pay with 4111 1111 1111 1111 please", "pay with [CARD] please"),
        (4111111111111111, "[CARD]"),
        ({"notes": ["378282246310005", 7]}, {"notes": ["[CARD]", 7]}),
        ("my password=hunter2hunter", "my password=[KEY]"),
        (
            "ada@example.com, +49 30 1234567 and 4111 1111 1111 1112",
            "ada@example.com, +49 30 1234567 and 4111 1111 1111 1112",
        ),
        (True, True),
        (123456789012, 123456789012),
        (None, None),
    ],
)
def test_payment_goes_from_every_column(value: object, left: object) -> None:
    assert without_payment({"note": value}) == {"note": left}


def test_a_token_is_known_without_brackets_and_in_any_case() -> None:
    seen, values = HIDER.hide({"body": "ada@example.com"}, ("body",))
    token = seen["body"]
    for written in (token, token.strip("[]"), token.lower(), token.upper()):
        assert restore(f"see {written}, please", values) == "see ada@example.com, please"
    assert restore(token * 2, values) == "ada@example.com" * 2


def test_two_values_with_the_same_eight_digits_keep_two_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    macs = {"ada@example.com": "0" * 8 + "a" * 56, "eve@example.com": "0" * 8 + "b" * 56}
    monkeypatch.setattr(module, "_mac", lambda secret, use_case, kind, value: macs[value])
    seen, values = HIDER.hide({"body": "ada@example.com or eve@example.com"}, ("body",))
    assert len(values) == 2
    assert restore(seen["body"], values) == "ada@example.com or eve@example.com"


def test_a_foreign_token_stays_as_it_is() -> None:
    _, values = HIDER.hide(ROW, COLUMNS)
    assert restore("[EMAIL_00000000] wrote", values) == "[EMAIL_00000000] wrote"


def test_nothing_takes_a_token_for_a_value() -> None:
    """Neither the ledger, which looks through what was sent once more, nor what masks payment."""
    random_ = random.Random(1)
    for _ in range(3_000):
        token = f"[{random_.choice(list(NAMES.values()))}_{random_.getrandbits(32):08x}]"
        text = f"call {token}, card {token} or phone: {token}{token}"
        assert tokenise(text, SECRET) == text
        assert without_payment({"body": text}) == {"body": text}


@pytest.mark.skipif(not SET.exists(), reason="the public set is not beside the checkout")
def test_no_card_of_the_public_texts_comes_back() -> None:
    cards = 0
    for row in read_set():
        seen, values = HIDER.hide({"body": row["full_text"]}, ("body",))
        for span in row["spans"]:
            if span["entity_type"] == "CREDIT_CARD":
                cards += 1
                assert span["entity_value"] not in str(restore(seen["body"], values))
    assert cards == 79


@pytest.mark.skipif(not SET.exists(), reason="the public set is not beside the checkout")
def test_public_texts_come_back_word_for_word_but_for_cards() -> None:
    changed = 0
    for row in read_set():
        seen, values = HIDER.hide({"body": row["full_text"]}, ("body",))
        changed += bool(values)
        for kept in restore(seen["body"], values).split("[CARD]"):
            assert kept.casefold() in row["full_text"].casefold()
    assert changed > 500
