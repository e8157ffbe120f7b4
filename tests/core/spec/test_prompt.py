"""Prompt files and what a row can do to them."""

from pathlib import Path

import pytest

from include.errors import ConfigurationError
from include.spec.prompt import load_prompt, read_prompt
from include.spec.use_case import load

FRONT = '+++\nname = "n"\nversion = "v1"\nstricter = "again: {problem}"\n+++\n\n'
FILE = FRONT + "# system\nBe fair.\n\n# user\nScore {{ record }}\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "prompt.v1.md"
    path.write_text(text, encoding="utf-8")
    return path


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
    "text", ["", "no front matter", FILE.replace("# user", "user"), FILE.replace('version = "v1"\n', "")]
)
def test_a_malformed_file_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"prompt\.v1\.md"):
        read_prompt(write(tmp_path, text))


def test_any_edit_changes_the_hash(tmp_path: Path) -> None:
    before = read_prompt(write(tmp_path, FILE)).hash
    assert read_prompt(write(tmp_path, FILE.replace("fair", "strict"))).hash != before


def test_the_shipped_prompt_renders_with_what_the_spec_lets_it_see() -> None:
    case = load("crm_lead_scoring")
    assert "```json" in load_prompt(case).render(dict.fromkeys(case.model_sees))
