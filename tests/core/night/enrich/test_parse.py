"""What counts as an answer, and what each wrong answer is called."""

import json
import time

import pytest
from pydantic import BaseModel

from include.night.enrich.parse import CUT_OFF, LONGEST_ANSWER, parse_reply
from include.systems.model.client import Reply
from include.use_cases.crm_lead_scoring.output import Output

GOOD = {
    "score": 71,
    "tier": "hot",
    "summary": "Large manufacturer, active this week.",
    "next_action": "call",
    "confidence": 0.8,
    "reasons": ["decision maker"],
}


def reply(text: str | None, **more: str) -> Reply:
    return Reply("answered", 0.1, text=text, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(GOOD),
        f"```json\n{json.dumps(GOOD)}\n```",
        f"Sure! Here you go:\n```\n{json.dumps(GOOD)}\n```\nAnything else?",
        f"The lead is promising. {json.dumps(GOOD)} Hope this helps.",
        json.dumps(GOOD).replace("week.", "week.\\n").replace("\\n", "\n"),
    ],
    ids=["plain", "block", "block in prose", "inside prose", "raw control character"],
)
def test_one_json_object_is_found_wherever_it_stands(text: str) -> None:
    parsed = parse_reply(reply(text), Output)
    assert parsed.outcome == "ok"
    assert parsed.answer is not None
    assert parsed.answer["score"] == 71


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("I think this lead is great, call them today!", "no JSON object"),
        (json.dumps(GOOD) + json.dumps(GOOD), "2 JSON objects"),
        (json.dumps({**GOOD, "tier": "lukewarm"}), "tier"),
        (json.dumps({**GOOD, "score": 101}), "score"),
        (json.dumps({**GOOD, "extra": 1}), "extra"),
        (json.dumps([GOOD][:0]), "no JSON object"),
    ],
)
def test_a_wrong_answer_is_invalid_and_says_why(text: str, problem: str) -> None:
    parsed = parse_reply(reply(text), Output)
    assert parsed.outcome == "invalid"
    assert problem in parsed.problem


def test_the_problem_never_repeats_what_the_model_said() -> None:
    assert "SECRET" not in parse_reply(reply(json.dumps({**GOOD, "tier": "SECRET"})), Output).problem


@pytest.mark.parametrize("text", [None, "", "  \n"])
def test_nothing_is_empty(text: str | None) -> None:
    assert parse_reply(reply(text), Output).outcome == "empty"


def test_a_refusal_is_refused_even_with_text() -> None:
    assert parse_reply(reply(json.dumps(GOOD), refusal="I cannot"), Output).outcome == "refused"
    assert parse_reply(reply(None, finish_reason="content_filter"), Output).outcome == "refused"


@pytest.mark.parametrize("text", [json.dumps(GOOD), json.dumps(GOOD)[:40], "", None], ids=["whole", "cut", "", "none"])
def test_an_answer_cut_off_is_invalid_whatever_is_there_and_not_asked_again(text: str | None) -> None:
    parsed = parse_reply(reply(text, finish_reason="length"), Output)
    assert (parsed.outcome, parsed.problem, parsed.in_vain) == ("invalid", CUT_OFF, True)
    assert not parse_reply(reply("{}"), Output).in_vain


@pytest.mark.parametrize(
    "thoughts",
    [
        "<think>\nPerhaps {\"score\": 1}? No: {'tier': {}}.\n</think>",
        "<thinking>{}</thinking>\n\n",
        'It is {"score": 1}.\n</think>\n',
        "<think>{}</think> so <think>{}</think>",
        "<THINK>{}</THINK>",
    ],
    ids=["braces", "thinking", "opened by the template", "twice", "capitals"],
)
@pytest.mark.parametrize("form", ["{}", "```json\n{}\n```"])
def test_what_a_model_thinks_is_no_answer(thoughts: str, form: str) -> None:
    parsed = parse_reply(reply(thoughts + form.replace("{}", json.dumps(GOOD))), Output)
    assert (parsed.outcome, (parsed.answer or {}).get("score")) == ("ok", 71)


def test_thoughts_without_an_end_hold_no_answer() -> None:
    assert parse_reply(reply(f"<think>So {json.dumps(GOOD)}"), Output).outcome == "empty"
    assert parse_reply(reply(f"<think>So {json.dumps(GOOD)}</think>"), Output).outcome == "empty"


def test_the_same_word_inside_an_answer_is_data() -> None:
    said = {**GOOD, "summary": "They sell </think> tanks."}
    assert parse_reply(reply(json.dumps(said)), Output).answer == {**said, "reasons": ["decision maker"]}


def test_braces_in_prose_do_not_hide_the_answer() -> None:
    parsed = parse_reply(reply("{" * 50 + "sets {a} and {b}: " + json.dumps(GOOD)), Output)
    assert (parsed.outcome, parsed.answer) == ("ok", GOOD)


@pytest.mark.parametrize(
    "text",
    [
        "{" * 99_000,
        "{ " * 300 + json.dumps(GOOD),
        '{"a":' * 19_000,
        "[" * 99_000,
        '{"a": ' + "[" * 5_000 + "]" * 5_000 + "}",
        '{"a": "' * 14_000,
        "```" * 33_000,
        "```" + " " * 99_000,
        "```json" + "\n" * 99_000,
        '{"score": ' + "9" * 90_000 + "}",
    ],
    ids=["braces", "300 braces", "objects", "lists", "list in an object", "texts", "ticks", "blank", "lines", "number"],
)
def test_hostile_text_is_judged_at_once(text: str) -> None:
    started = time.process_time()
    assert parse_reply(reply(text), Output).outcome == "invalid"
    assert time.process_time() - started < 1.0


def test_a_megabyte_is_no_answer_and_is_not_searched_for_one() -> None:
    padded = json.dumps(GOOD) + " " * 1_000_000
    started = time.perf_counter()
    parsed = parse_reply(reply(padded), Output)
    assert (parsed.outcome, parsed.problem) == ("invalid", f"the answer had {len(padded):,} characters")
    assert time.perf_counter() - started < 0.1
    assert parse_reply(reply(padded[:LONGEST_ANSWER]), Output).outcome == "ok"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_no_database_takes_is_invalid_whatever_the_class_allows(number: str) -> None:
    class Loose(BaseModel):
        share: float

    parsed = parse_reply(reply(f'{{"share": {number}}}'), Loose)
    assert (parsed.outcome, parsed.answer) == ("invalid", None)
