"""Prompt files, what they state of themselves, and what a row can do to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from include.canonical import canonical
from include.errors import ConfigurationError
from include.operations.check_prompts import check_prompts
from include.operations.examples import read_examples
from include.spec.names import names
from include.spec.prompt import DATA_CLASSES, Prompt, load_prompt, parts_of, read_any_prompt, read_prompt
from include.spec.prompt_lock import open_registry
from include.spec.use_case import UseCase, load

FRONT = '+++\nname = "n"\nversion = "v1"\nstricter = "again: {problem}"\n+++\n\n'
FILE = FRONT + "# system\nBe fair.\n\n# user\nScore {{ record }}\n"
SENT = {
    "ap_invoices": "74cb3e8653ad191d464f6a4c27dc7764c7dad0f55a8b1d49ff4cd13631c54ab2",
    "crm_enrichment": "fc87c34455c47603255631a125a1d4903feadc79e06e4f003607009488f7b30d",
    "crm_lead_scoring": "8de30d1f5612d0c90e9ea84baaee1c520819042d481c194b6d764fd1af3a0ef1",
    "support_triage": "225ddcf556decbeadf554254a9490ee6f54cc2d59ebc56d603ca862e6e08b8e8",
}
"""Hashes of the first versions. Answers on record are found by them: none may ever change."""


def write(folder: Path, text: str) -> Path:
    path = folder / "prompt.v1.md"
    path.write_text(text, encoding="utf-8")
    return path


def with_field(line: str) -> str:
    """The file with one more line, or with another one for the field of that name."""
    kept = [one for one in FILE.splitlines() if not one.startswith(line.partition(" ")[0] + " ")]
    return "\n".join([kept[0], line, *kept[1:]]) + "\n"


def test_the_two_parts_are_read_and_rendered(tmp_path: Path) -> None:
    prompt = read_prompt(write(tmp_path, FILE))
    assert prompt.system == "Be fair."
    assert prompt.render({"b": 1, "a": None}) == 'Score {"a":null,"b":1}'


def test_a_template_inside_a_row_is_data_and_not_run(tmp_path: Path) -> None:
    prompt = read_prompt(write(tmp_path, FILE))
    assert "{{ 7 * 7 }}" in prompt.render({"title": "{{ 7 * 7 }}"})


def test_a_column_the_model_may_not_see_cannot_be_rendered(tmp_path: Path) -> None:
    prompt = read_prompt(write(tmp_path, FILE.replace("{{ record }}", "{{ row.email }}")))
    with pytest.raises(ConfigurationError, match="email"):
        prompt.render({"title": "CTO"})


def test_the_sandbox_keeps_templates_from_python(tmp_path: Path) -> None:
    prompt = read_prompt(write(tmp_path, FILE.replace("{{ record }}", "{{ row.__class__.__mro__ }}")))
    with pytest.raises(ConfigurationError):
        prompt.render({"title": "CTO"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no front matter",
        FILE.replace("# user", "user"),
        FILE.replace('version = "v1"\n', ""),
        FILE.replace('"v1"', "v1"),
        FILE.replace("record", "recrod"),
        FILE.replace("{problem}", "{what}"),
        FILE.replace("{problem}", "{problem} like {}"),
        FILE.replace("{problem}", "{problem} like {"),
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"prompt\.v1\.md"):
        read_prompt(write(tmp_path, text))


def test_a_prompt_to_try_out_is_checked_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"prompt\.v1\.md: there is no recrod"):
        read_any_prompt(write(tmp_path, "Score {{ recrod }}"))
    assert read_any_prompt(write(tmp_path, "{% for name in row %}{{ name }}{% endfor %}")).render({"a": 1}) == "a"


@pytest.mark.parametrize(
    "line",
    [
        "name = 1",
        'model = ""',
        'model = "TODO"',
        'parameters = "none"',
        'inputs = "title"',
        "inputs = []",
        'inputs = ["title", "title"]',
        'data = ["secret"]',
        "data = []",
        'owner = " "',
        'changed = "2026-11-20"',
        "changed = 2026-11-20T10:00:00",
        "change = 3",
        'output = ["Output"]',
        'modle = "sandbox-small"',
    ],
)
def test_a_field_that_says_nothing_or_the_wrong_thing_is_named_with_its_file(tmp_path: Path, line: str) -> None:
    field = line.partition(" ")[0]
    with pytest.raises(ConfigurationError, match=rf"prompt\.v1\.md.*`{field}`"):
        read_prompt(write(tmp_path, with_field(line)))


def test_what_is_stated_is_read(tmp_path: Path) -> None:
    lines = ('model = "m"', "parameters = { temperature = 0 }", 'inputs = ["a"]', f"data = {[*DATA_CLASSES]}")
    states = read_prompt(write(tmp_path, FILE.replace("+++\n", "+++\n" + "\n".join(lines) + "\n", 1))).states
    assert (states.model, states.parameters, states.inputs) == ("m", {"temperature": 0}, ("a",))
    assert states.data == DATA_CLASSES
    assert states.missing == ["output", "owner", "changed", "change"]


def test_any_edit_changes_the_hash(tmp_path: Path) -> None:
    before = read_prompt(write(tmp_path, FILE)).hash
    for one, other in (("fair", "strict"), ("Score", "Judge"), ("again", "once more")):
        assert read_prompt(write(tmp_path, FILE.replace(one, other))).hash != before


def test_what_a_prompt_states_of_itself_is_not_part_of_what_is_sent(tmp_path: Path) -> None:
    before = read_prompt(write(tmp_path, FILE)).hash
    assert read_prompt(write(tmp_path, with_field('model = "another"'))).hash == before


@pytest.mark.parametrize("name", SENT)
def test_the_first_versions_send_what_they_always_did(name: str) -> None:
    """Their hashes, and every message of the labelled examples as Jinja2 by itself renders it."""
    case = load(name)
    prompt = read_prompt(case.folder / "prompt.v1.md")
    assert prompt.hash == SENT[name]
    plain = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False).from_string(prompt.user)
    examples = read_examples(case.folder / "evals.jsonl")
    assert len(examples) >= 20
    for one in examples:
        assert prompt.render(one.given) == plain.render(row=one.given, record=canonical(one.given)).strip()


@pytest.mark.parametrize("name", names())
def test_every_use_case_of_this_project_has_prompts_that_are_locked_and_true(name: str) -> None:
    case = load(name)
    registry = open_registry(name, case.folder)
    assert check_prompts(name) == []
    assert bool(registry.locked) == (case.model is not None)


CASE = load("crm_lead_scoring")
ASKED = CASE.asked
NEEDS_V2 = "nightledger prompts new crm_lead_scoring"


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (replace(CASE, model=replace(ASKED, name="gpt-5-mini")), f"model: was written for sandbox-small.*{NEEDS_V2}"),
        (replace(CASE, model=replace(ASKED, parameters={"temperature": 1})), r'parameters: says .*"seed":7.*:1\}'),
        (replace(CASE, model_sees=CASE.model_sees[1:]), "inputs: lists job_title"),
        (replace(CASE, model_sees=(*CASE.model_sees, "email"), personal=()), "inputs: lacks email"),
        (replace(CASE, owner="sales"), "owner: says 'revenue-operations', and the spec says 'sales'"),
    ],
    ids=["model", "parameters", "column gone", "column more", "owner"],
)
def test_a_prompt_that_says_otherwise_than_the_spec_is_not_loaded(case: UseCase, said: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"crm_lead_scoring/prompt\.v1\.md: {said}"):
        load_prompt(case)


def own(tmp_path: Path, lines: str = "", user: str = "{{ record }}", **spec: Any) -> Prompt:
    """The prompt of a use case with two columns, from a file with more lines in its front matter."""
    text = FILE.replace("+++\n", f"+++\n{lines}\n", 1).replace("{{ record }}", user)
    write(tmp_path, text)
    given = {
        **{"name": "n", "owner": "me", "model_sees": ("title", "size"), "personal": (), "output": "Output"},
        **spec,
    }
    module = SimpleNamespace(__name__="own.output", Output=Path, Other=Prompt)
    case = SimpleNamespace(**given, model=ASKED, prompt_file=tmp_path / "prompt.v1.md", module=lambda name: module)
    return load_prompt(case)  # type: ignore[arg-type]


def test_a_prompt_that_states_little_is_loaded(tmp_path: Path) -> None:
    assert own(tmp_path).states.missing == [
        *("model", "parameters", "inputs", "output", "data", "owner", "changed", "change")
    ]


def test_numbers_that_are_equal_are_the_same_parameters(tmp_path: Path) -> None:
    assert own(tmp_path, "parameters = { seed = 7, temperature = 0.0 }").states.parameters


@pytest.mark.parametrize(
    ("lines", "user", "said"),
    [
        ("", "{{ row.email }}", "# user: reads email, which `model_sees`"),
        ("", "{% if row.title %}{{ row.phone }}{% endif %}", "# user: reads phone"),
        ("", "{% set other = row %}{{ other.email }}", "# user: line 1"),
        ('inputs = ["title"]', "{{ record }}", "inputs: lacks size, which is shown"),
        ('inputs = ["title", "size"]', "{{ row.title }}", "inputs: lists size, which the template does not show"),
        ('inputs = ["title", "email"]', "{{ row.title }}", "inputs: lists email, which `model_sees`"),
        ('output = "Answer"', "{{ record }}", "output: there is no class 'Answer' in own.output"),
        ('output = "Other"', "{{ record }}", "output: says 'Other', and answers must fit `Output`"),
        ('data = ["internal"]', "{{ record }}", "data: lacks personal, which size is"),
    ],
)
def test_a_false_statement_is_named_with_its_field(tmp_path: Path, lines: str, user: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        own(tmp_path, lines, user, personal=("size",))
    assert said in str(caught.value)
    assert f"{tmp_path.name}/prompt.v1.md" in str(caught.value)


def test_statements_that_hold_are_loaded(tmp_path: Path) -> None:
    lines = 'inputs = ["title"]\noutput = "Output"\ndata = ["personal"]\nowner = "me"'
    assert own(tmp_path, lines, "{{ row.title }}", personal=("size",)).states.owner == "me"


@pytest.mark.parametrize(("line", "said"), [('name = "other"', "name: says 'other'"), ('version = "v2"', "version: ")])
def test_a_file_that_is_called_otherwise_than_it_says_is_refused(tmp_path: Path, line: str, said: str) -> None:
    write(tmp_path, with_field(line))
    case = replace(CASE, name="n", owner="me")
    module = SimpleNamespace(name=case.name, model=ASKED, model_sees=("a",), prompt_file=tmp_path / "prompt.v1.md")
    with pytest.raises(ConfigurationError, match=said):
        load_prompt(module)  # type: ignore[arg-type]


class TestAttached:
    """Files that are sent with a prompt, as if they stood in it."""

    FRONT = 'name = "crm_lead_scoring"\nversion = "v1"\nstricter = "Again: {problem}"\nattached = %s'

    def write(self, folder: Path, attached: str, **files: str) -> Path:
        for name, text in files.items():
            (folder / f"{name}.md").write_text(text, encoding="utf-8")
        path = folder / "prompt.v1.md"
        path.write_text(
            f"+++\n{self.FRONT % attached}\n+++\n\n# system\nSay.\n\n# user\n{{{{ record }}}}", encoding="utf-8"
        )
        return path

    def test_they_are_sent_behind_the_system_part_in_their_order_and_count_in_the_hash(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, '["b.md", "a.md"]', a="first\n", b="second\n")
        prompt = read_prompt(path)
        assert prompt.system == "Say.\n\nsecond\n\nfirst"
        assert prompt.attached == ("b.md", "a.md")
        (tmp_path / "a.md").write_text("other", encoding="utf-8")
        assert read_prompt(path).hash != prompt.hash
        assert parts_of(path)["attached"] == "second\n\nother"

    @pytest.mark.parametrize(
        ("attached", "words"),
        [
            ('["../a.md"]', "must name files beside it"),
            ('["prompt.v2.md"]', "must name files beside it"),
            ('["missing.md"]', "cannot be read"),
            ('["empty.md"]', "which is empty"),
            ("[]", "at least one"),
            ('"a.md"', "must be a list"),
        ],
    )
    def test_what_cannot_be_attached_is_told(self, tmp_path: Path, attached: str, words: str) -> None:
        with pytest.raises(ConfigurationError, match=words):
            read_prompt(self.write(tmp_path, attached, a="x", empty=" "))
