"""The template of a prompt: what is found in its text before there is a row, and what ends whatever it says."""

from __future__ import annotations

import time
import traceback

import pytest

from include.spec import prompt_template
from include.spec.prompt_template import Reads, TemplateProblem, check, reads, render


@pytest.mark.parametrize(
    ("text", "columns", "whole"),
    [
        ("{{ record }}", set(), True),
        ("{{ row.title }} of {{ row['size'] }}", {"title", "size"}, False),
        ("{% if row.get('vip') %}{{ row.note | upper }}{% endif %}", {"vip", "note"}, False),
        ("{% for name, value in row.items() %}{{ name }}: {{ value }}{% endfor %}", set(), True),
        ("{{ row | tojson }}", set(), True),
        ("{% set one = row.title %}{{ one }} {{ record }}", {"title"}, True),
        ("{{ row['items'] }}", {"items"}, False),
        ("the same for every row", set(), False),
    ],
)
def test_what_is_read_is_told_from_the_text(text: str, columns: set[str], whole: bool) -> None:
    assert reads(text) == Reads(frozenset(columns), whole)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{{ rwo.title }}", "rwo"),
        ("{% if row.title %}{{ titel }}{% endif %}", "titel"),
        ("fine\n{{ row.title", "line 2"),
        ("{% if row.title %}{{ row.title | shout }}{% endif %}", "shout"),
        ("{% if row.title is loud %}{% endif %}", "loud"),
        ("{% include 'other.md' %}", "one file"),
        ("{{ lipsum() }}", "lipsum"),
        ("{{ [1, 2] | random }}", "random"),
        ("{{ _budget }}", "_budget"),
    ],
)
def test_a_name_that_does_not_exist_is_found_without_a_row(text: str, named: str) -> None:
    with pytest.raises(TemplateProblem, match=named):
        check(text)


@pytest.mark.parametrize(
    "text",
    [
        "{% set other = row %}{{ other.email }}",
        "{{ row[row.name] }}",
        "{{ row.items }}",
        "{{ row | attr('email') }}",
        "{% macro show(row) %}{{ row.email }}{% endmacro %}{{ show(1) }}",
        "{% for row in [1] %}{{ row }}{% endfor %}",
        "{{ row.get(row.name) }}",
        "{% set record = row.name %}{{ record }}",
    ],
)
def test_a_template_that_hides_what_it_reads_is_refused(text: str) -> None:
    with pytest.raises(TemplateProblem, match="line 1"):
        reads(text)


def test_loops_end() -> None:
    text = "{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}" + "{% endfor %}" * 3
    begun = time.monotonic()
    with pytest.raises(TemplateProblem, match="100,000 passes"):
        render(text, {"a": 1})
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in range(90000) %}{{ record }}{% endfor %}",
        "{% set kept %}{% for a in range(90000) %}{{ record }}{% endfor %}{% endset %}short",
    ],
)
def test_a_message_far_longer_than_its_row_is_refused_before_it_is_put_together(text: str) -> None:
    with pytest.raises(TemplateProblem, match="20 times as long"):
        render(text, {"a": "x" * 100_000})


def test_a_long_row_makes_a_long_message() -> None:
    assert len(render("{{ record }}{{ row.a }}", {"a": "x" * 3_000_000})) > 6_000_000


def test_loops_know_where_they_are() -> None:
    text = "{% for one in row.tags %}{{ loop.index }}/{{ loop.length }} {{ one }}{{ '' if loop.last else ', ' }}"
    assert render(text + "{% endfor %}", {"tags": ["a", "b"]}) == "1/2 a, 2/2 b"


@pytest.mark.parametrize(
    "text",
    [
        "{{ row.a + 1 }}",
        "{{ row.tags.index(row.a) }}",
        "{{ {'DE': 'Germany'}[row.a] }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ],
)
def test_a_row_that_a_template_does_not_bear_is_told_without_its_value(text: str) -> None:
    row = {"a": " ".join(("Erika", "Mustermann")), "tags": []}
    with pytest.raises(TemplateProblem) as caught:
        render(text, row)
    assert row["a"] not in "".join(traceback.format_exception(caught.value))


def test_what_a_template_names_itself_is_told() -> None:
    with pytest.raises(TemplateProblem, match="email"):
        render("{{ row.email }}", {"a": 1})


def test_every_row_has_leave_of_its_own() -> None:
    text = "{% for a in range(90000) %}{% endfor %}done"
    assert [render(text, {"a": 1}), render(text, {"a": 1})] == ["done", "done"]
    assert prompt_template.MOST_PASSES < 180_000
