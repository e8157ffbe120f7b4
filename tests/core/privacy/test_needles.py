"""Every form in which a value may stand where it was kept is looked for."""

from __future__ import annotations

import json

import pytest

from include.canonical import mask
from include.errors import ConfigurationError
from include.personal import tokenise
from include.privacy.needles import needles_of
from include.privacy.tokens import Hider

CASES = ("support_triage", "crm_lead_scoring")


def found(value: str, text: str) -> list[str]:
    small = "".join(one.lower() if one.isascii() else one for one in text)
    return [one.shown for one in needles_of(value, CASES, "secret") if one.text in small]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("Ada Lovelace", "My name is Ada Lovelace and I was charged twice."),
        ("ada@leak.example", "Write to ADA@leak.example, please."),
        ("+49 30 5551 2345", "Call me at +49 (30) 5551-2345."),
        ("203.0.113.9", "I came from 203.0.113.9."),
        ("DE89 3704 0044 0532 0130 00", "My IBAN is DE89370400440532013000."),
        ("500-12-4003", "My social security number is 500-12-4003."),
    ],
)
@pytest.mark.parametrize("use_case", CASES)
def test_a_model_s_token_is_found_however_the_value_was_written(value: str, told: str, use_case: str) -> None:
    shown, values = Hider(use_case, "secret").hide({"body": told}, ["body"])
    assert values, "nothing was hidden"
    (token,) = [one for one in found(value, str(shown)) if one.startswith("[")]
    assert token in shown["body"]


@pytest.mark.parametrize("value", ["ada@leak.example", "Ada@Leak.example"])
def test_the_ledger_s_token_is_found(value: str) -> None:
    assert found(value, tokenise(f"to {value}", "secret")) == [tokenise(value, "secret")]
    masked = mask({"email": value}, ["email"], "secret")
    assert found(value, json.dumps(masked)) == [masked["email"]]


@pytest.mark.parametrize("said", ["Zoë Müller", "ZOË MÜLLER", "zoë müller", "zoë  müller"])
def test_a_name_in_clear_is_found_in_any_letters_and_within_json(said: str) -> None:
    told = " ".join(said.split())
    assert found("Zoë  Müller", f"is {told}.") == ["in clear"]
    for ascii_only in (True, False):
        within = json.dumps(json.dumps({"b": told}, ensure_ascii=ascii_only), ensure_ascii=ascii_only)
        assert found("Zoë Müller", within) == ["in clear"]


def test_a_quote_in_a_value_is_found_within_json() -> None:
    assert found('Anne "Nan" O\'Brien', json.dumps(json.dumps({"b": 'Anne "Nan" O\'Brien'}))) == ["in clear"]


def test_a_number_is_found_without_its_spaces() -> None:
    assert found("+49 30 55512345", "tel 493055512345") == ["in clear"]


def test_another_value_is_not_found() -> None:
    for secret, told in (("secret", "My name is Grace Hopper, call me"), ("other", "My name is Ada Lovelace, call me")):
        shown, values = Hider("support_triage", secret).hide({"body": told}, ["body"])
        assert values
        assert found("Ada Lovelace", str(shown)) == []


def test_what_is_too_short_means_nobody() -> None:
    with pytest.raises(ConfigurationError, match="at least 4"):
        needles_of(" Ada ", CASES, "secret")
