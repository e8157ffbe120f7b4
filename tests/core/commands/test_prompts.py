"""`prompts`: versions that are locked stay as they are, also those of another package; the next is one command away."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.cli import main
from include.errors import ConfigurationError
from include.spec import names
from include.spec.prompt import load_prompt, read_prompt
from include.spec.use_case import load
from tests.core.test_outside_use_cases import COMMON, ORDERS, OUTPUT

NAME = "acme_orders"
LITTLE = """+++
name = "acme_orders"
version = "v1"
stricter = "Again: {problem}"
+++

# system
Say what it is about.

# user
{{ record }}
"""
FULL = LITTLE.replace(
    "stricter",
    """model = "sandbox-small"
parameters = {}
inputs = ["note"]
output = "Output"
data = ["internal"]
owner = "acme"
changed = 2026-11-20
change = "First version"
stricter""",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a use case in another package, with one prompt that states everything."""
    place = tmp_path / "site"
    home, found = place / "acme_nights" / "orders", place / "acme_nights-1.0.dist-info"
    for one in (home, found):
        one.mkdir(parents=True)
    (home.parent / "__init__.py").touch()
    (home.parent / "common.py").write_text(COMMON)
    (home / "__init__.py").touch()
    (home / "spec.py").write_text(ORDERS)
    (home / "output.py").write_text(OUTPUT)
    (home / "prompt.v1.md").write_text(FULL)
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-nights\nVersion: 1.0\n")
    (found / "entry_points.txt").write_text(f"[nightledger.use_cases]\n{NAME} = acme_nights.orders\n")
    monkeypatch.syspath_prepend(str(place))
    names._packages.cache_clear()
    forget()
    yield home
    names._packages.cache_clear()
    forget()


def forget() -> None:
    """The package is imported anew."""
    for module in [name for name in sys.modules if name.startswith("acme_nights")]:
        del sys.modules[module]


def prompts(*arguments: str) -> tuple[int, str]:
    """The command as a person types it: exit code, and what it printed."""
    out = io.StringIO()
    return main(("prompts", *arguments), out), out.getvalue()


def edit(path: Path, one: str, other: str) -> None:
    text = path.read_text()
    assert one in text
    path.write_text(text.replace(one, other))
    shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)  # of the same second and size, it would be believed
    forget()


def second(folder: Path) -> Path:
    """A locked first version, and a second one that says what changed."""
    if not (folder / "prompts.lock").exists():
        assert prompts("lock", NAME)[0] == 0
    assert prompts("new", NAME)[0] == 0
    edit(folder / "prompt.v2.md", 'change = ""', 'change = "Asks for the topic"')
    return folder / "prompt.v2.md"


def test_the_prompts_of_this_project_are_locked() -> None:
    code, said = prompts("check", *sorted(path.parent.name for path in names.FOLDER.glob("*/spec.py")))
    assert (code, said.count("\n")) == (0, 1), said


def test_a_use_case_that_asks_nobody_gets_no_lock() -> None:
    assert prompts("lock", "erp_reorder") == (0, "Nothing is left to be locked.\n")
    assert not (names.FOLDER / "erp_reorder" / "prompts.lock").exists()


def test_a_new_use_case_is_told_to_lock_and_its_night_runs(folder: Path) -> None:
    code, said = prompts("check", NAME)
    assert code == 1
    assert "orders has no prompts.lock yet" in said
    assert f"nightledger prompts lock {NAME}" in said
    assert load_prompt(load(NAME)).version == "v1"
    (folder / "prompt.v1.md").write_text(LITTLE)
    code, said = prompts("check", NAME)
    assert code == 1
    assert "front matter lacks model, parameters, inputs, output, data, owner, changed, change" in said
    assert load_prompt(load(NAME)).render({"note": "late"}) == '{"note":"late"}'


def test_a_version_that_does_not_say_all_is_not_locked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(folder / "prompt.v1.md", 'owner = "acme"\n', "")
    assert prompts("lock", NAME)[0] == 2
    assert "orders/prompt.v1.md: front matter lacks owner" in capsys.readouterr().err
    assert not (folder / "prompts.lock").exists()


def test_what_is_false_is_not_locked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Once locked it could not be put right."""
    edit(folder / "prompt.v1.md", '"sandbox-small"', '"sandbox-large"')
    assert prompts("lock", NAME)[0] == 2
    assert "model: was written for sandbox-large" in capsys.readouterr().err
    edit(folder / "prompt.v1.md", '"sandbox-large"', '"sandbox-small"')
    (folder / "evals.jsonl").write_text(json.dumps({"input": {"note": "Say what it is about."}, "expected": {}}) + "\n")
    assert prompts("lock", NAME)[0] == 2
    assert "holds `note` of example 1" in capsys.readouterr().err
    assert not (folder / "prompts.lock").exists()


def test_the_lock_lies_in_the_package_and_holds_what_the_ledger_holds(folder: Path) -> None:
    assert prompts("lock", NAME) == (
        0,
        f"{NAME} v1 is locked. Commit orders/prompts.lock.\nNothing is left to be locked.\n",
    )
    assert load_prompt(load(NAME)).as_mapping()["hash"] in (folder / "prompts.lock").read_text()
    assert prompts("check", NAME)[0] == 0
    assert [path.name for path in folder.glob("prompts*")] == ["prompts.lock"]


def test_an_edited_version_is_named_with_both_hashes_and_cannot_be_locked_anew(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prompts("lock", NAME)[0] == 0
    locked, before = (folder / "prompts.lock").read_bytes(), load_prompt(load(NAME)).hash
    edit(folder / "prompt.v1.md", "Say what", "Guess what")
    after = load_prompt(load(NAME)).hash
    code, said = prompts("check", NAME)
    assert code == 1
    for part in ("orders/prompt.v1.md", before[:12], after[:12], "v2", f"nightledger prompts new {NAME}"):
        assert part in said
    assert "Guess" not in said
    assert prompts("lock", NAME)[0] == 2
    assert "Nothing was locked" in capsys.readouterr().err
    assert (folder / "prompts.lock").read_bytes() == locked


@pytest.mark.parametrize(
    ("one", "other"),
    [('["internal"]', '["confidential"]'), ("First version", "The first"), ("2026-11-20", "2026-11-19")],
)
def test_a_statement_may_be_put_right(folder: Path, one: str, other: str) -> None:
    assert prompts("lock", NAME)[0] == 0
    edit(folder / "prompt.v1.md", one, other)
    assert prompts("check", NAME)[0] == 0


def test_the_next_version_is_the_newest_one_under_what_the_spec_asks(folder: Path) -> None:
    made = second(folder)
    assert made.read_text().splitlines()[1:4] == [
        f'name = "{NAME}"',
        'version = "v2"',
        'model = "sandbox-small"',
    ]
    one, other = read_prompt(folder / "prompt.v1.md"), read_prompt(made)
    assert one.hash == other.hash
    assert other.states.changed == datetime.now(UTC).date()
    assert (other.states.inputs, other.states.data, other.states.owner) == (("note",), ("internal",), "acme")


def test_a_draft_is_nothing_until_it_says_what_changed(folder: Path) -> None:
    assert prompts("lock", NAME)[0] == 0
    assert prompts("new", NAME)[0] == 0
    code, said = prompts("check", NAME)
    assert code == 1
    assert "orders/prompt.v2.md: `change` must be a text" in said
    edit(folder / "prompt.v1.md", "Say what", "Guess what")
    assert "orders/prompt.v1.md was changed" in prompts("check", NAME)[1], "a draft hides no edit"


def test_texts_with_quotes_and_long_lists_are_drafted_as_they_were(folder: Path) -> None:
    stricter = 'stricter = "Again: {problem}. \\"All\\"\\n{{}} \\u00fc \\\\ \\u0007"'
    edit(folder / "prompt.v1.md", 'stricter = "Again: {problem}"', stricter)
    columns = tuple(f"column number {number}" for number in range(40))
    edit(folder / "spec.py", 'model_sees=("note",)', f"model_sees={columns!r}")
    edit(folder / "prompt.v1.md", 'inputs = ["note"]', f"inputs = {json.dumps(columns)}")
    assert prompts("lock", NAME)[0] == 0
    asked = {"top p": 0.5, "stop": ["a", "b"], "logit": {"x": True, "y": -1}}
    edit(folder.parent / "common.py", "max_output_tokens", f"parameters={asked!r}, max_output_tokens")
    made = second(folder)
    assert read_prompt(made).states.parameters == asked
    assert read_prompt(made).hash == read_prompt(folder / "prompt.v1.md").hash
    assert read_prompt(made).states.inputs == columns
    assert max(map(len, made.read_text().splitlines())) <= 120


def test_there_is_one_draft_at_a_time(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second(folder)
    assert prompts("new", NAME)[0] == 2
    assert "orders/prompt.v2.md: is not locked yet" in capsys.readouterr().err
    assert not (folder / "prompt.v3.md").exists()


def test_a_version_is_added_beside_those_that_are_locked(folder: Path) -> None:
    made = second(folder)
    edit(made, "Say what", "Judge what")
    assert "orders/prompt.v2.md is not locked" in prompts("check", NAME)[1]
    before = (folder / "prompts.lock").read_text()
    assert prompts("lock", NAME)[0] == 0
    assert (folder / "prompts.lock").read_text().startswith(before)
    assert prompts("check", NAME)[0] == 0
    assert load_prompt(load(NAME)).version == "v1", "the spec still pins the first"
    edit(folder / "spec.py", "**SHARED,", '**{**SHARED, "model": _other()},')
    edit(folder / "spec.py", "SPEC =", _PINS_V2 + "SPEC =")
    assert load_prompt(load(NAME)).version == "v2"
    assert prompts("check", NAME)[0] == 0


_PINS_V2 = """
from dataclasses import replace
def _other():
    return replace(SHARED["model"], prompt="prompt.v2.md")
"""


def test_a_locked_version_may_not_go(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second(folder)
    assert prompts("lock", NAME)[0] == 0
    (folder / "prompt.v1.md").unlink()
    code, said = prompts("check", NAME)
    assert code == 1
    assert "orders/prompt.v1.md is locked, and the ledger may name it: bring it back" in said
    assert prompts("lock", NAME)[0] == 2
    assert "prompt.v1.md" in capsys.readouterr().err


def test_versions_leave_no_gap(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prompts("lock", NAME)[0] == 0
    (folder / "prompt.v3.md").write_text(FULL.replace('"v1"', '"v3"'))
    code, said = prompts("check", NAME)
    assert code == 1
    assert "orders/prompt.v2.md is missing before v3" in said
    assert prompts("lock", NAME)[0] == 2
    assert "v3 =" not in (folder / "prompts.lock").read_text()


def test_a_file_that_is_no_version_is_named(folder: Path) -> None:
    assert prompts("lock", NAME)[0] == 0
    (folder / "prompt.final.md").write_text(FULL)
    assert "orders/prompt.final.md is no prompt.vN.md" in prompts("check", NAME)[1]


def test_a_version_that_calls_itself_another_is_not_locked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prompts("lock", NAME)[0] == 0
    (folder / "prompt.v2.md").write_text(FULL)
    assert "orders/prompt.v2.md: front matter says acme_orders v1" in prompts("check", NAME)[1]
    assert prompts("lock", NAME)[0] == 2
    assert "prompt.v2.md: front matter says acme_orders v1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("{{ record }}", "{{ row.note }} {{ row.topic }}", "inputs: lacks topic, which is shown"),
        ("{{ record }}", "{{ row.items }}", "# user, line 1: which columns are read cannot be told"),
        (f'name = "{NAME}"', 'name = "acme_letters"', "front matter says acme_letters v2"),
    ],
)
def test_a_version_that_is_not_in_use_is_checked_too(folder: Path, one: str, other: str, said: str) -> None:
    edit(second(folder), one, other)
    assert f"orders/prompt.v2.md: {said}" in prompts("check", NAME)[1]


def test_a_prompt_that_is_no_version_is_told_that_nothing_holds_it(folder: Path) -> None:
    edit(folder.parent / "common.py", "prompt.v1.md", "ask.md")
    (folder / "ask.md").write_text(LITTLE)
    assert load_prompt(load(NAME)).version == "v1"
    assert "the spec pins ask.md, which is no prompt.vN.md" in prompts("check", NAME)[1]


def test_a_next_version_needs_one_before(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "prompt.v1.md").unlink()
    assert prompts("new", NAME)[0] == 2
    assert "has no prompt.vN.md to start from" in capsys.readouterr().err


def test_versions_come_one_after_the_other(folder: Path) -> None:
    made = second(folder)
    edit(made, f"changed = {datetime.now(UTC).date()}", "changed = 2020-01-01")
    assert "orders/prompt.v2.md: `changed` is before that of v1" in prompts("check", NAME)[1]


def test_another_model_needs_another_version(folder: Path) -> None:
    assert prompts("lock", NAME)[0] == 0
    edit(folder.parent / "common.py", "sandbox-small", "sandbox-large")
    with pytest.raises(ConfigurationError, match="was written for sandbox-small, and the spec asks sandbox-large"):
        load_prompt(load(NAME))
    assert "was written for sandbox-small" in prompts("check", NAME)[1]
    edit(folder / "prompt.v1.md", 'model = "sandbox-small"', 'model = "sandbox-large"')
    code, said = prompts("check", NAME)
    assert code == 1
    assert "orders/prompt.v1.md was locked for model sandbox-small and now says sandbox-large" in said
    edit(folder / "prompt.v1.md", 'model = "sandbox-large"', 'model = "sandbox-small"')
    made = second(folder)
    edit(folder.parent / "common.py", "prompt.v1.md", "prompt.v2.md")
    assert load_prompt(load(NAME)).states.model == read_prompt(made).states.model == "sandbox-large"
    assert prompts("lock", NAME)[0] == 0
    assert prompts("check", NAME)[0] == 0


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("the parcel I ordered never came", True),
        ({"parts": ["The  parcel I\nordered never came"]}, True),
        ("the parcel I order", False),
        ("nothing of this stands anywhere", False),
    ],
    ids=["as it is", "within, broken otherwise", "short", "elsewhere"],
)
def test_an_example_in_the_prompt_is_named_and_not_shown(folder: Path, value: object, found: bool) -> None:
    edit(folder / "prompt.v1.md", "Say what it is about.", "An outage is:\nthe parcel I ordered\nnever came.")
    assert prompts("lock", NAME)[0] == 0
    lines = [json.dumps({"input": {"note": one}, "expected": {"topic": "usage"}}) for one in ("short", value)]
    (folder / "evals.jsonl").write_text("\n".join(lines) + "\n")
    code, said = prompts("check", NAME)
    assert code == int(found)
    assert ("orders/prompt.v1.md holds `note` of example 2 of evals.jsonl word for word" in said) == found
    assert "parcel" not in said


def test_an_example_in_any_part_is_found(folder: Path) -> None:
    (folder / "evals.jsonl").write_text(json.dumps({"input": {"note": "x" * 20}, "expected": {}}) + "\n")
    for part in ("Say what", "Again", "{{ record }}"):
        text = FULL.replace(part, f"{'X' * 20} {part}")
        (folder / "prompt.v1.md").write_text(text)
        assert "holds `note` of example 1" in prompts("check", NAME)[1]


def test_an_example_in_a_version_that_is_in_use_no_more_harms_nobody(folder: Path) -> None:
    made = second(folder)
    edit(made, "Say what it is about.", "Name its topic.")
    assert prompts("lock", NAME)[0] == 0
    (folder / "evals.jsonl").write_text(json.dumps({"input": {"note": "Say what it is about."}, "expected": {}}) + "\n")
    assert "orders/prompt.v1.md holds" in prompts("check", NAME)[1]
    edit(folder.parent / "common.py", "prompt.v1.md", "prompt.v2.md")
    assert prompts("check", NAME)[0] == 0


def test_a_finding_is_told_once(folder: Path) -> None:
    assert prompts("lock", NAME)[0] == 0
    edit(folder / "prompt.v1.md", "# user", "user")
    code, said = prompts("check", NAME)
    assert (code, said.count("\n")) == (1, 1), said


def test_two_versions_are_compared_part_by_part(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = second(folder)
    edit(made, "Say what", "Judge what")
    code, said = prompts("diff", NAME, "v1", "2")
    assert code == 0
    assert "--- prompt.v1.md front matter\n+++ prompt.v2.md front matter\n" in said
    assert "-Say what it is about.\n+Judge what it is about.\n" in said
    assert "user" not in said
    assert prompts("diff", NAME, "v1", "v1")[1] == "prompt.v1.md and prompt.v1.md say the same.\n"
    assert prompts("diff", NAME, "v1", "v9")[0] == 2
    assert "no version v9; there are: v1, v2" in capsys.readouterr().err


def test_all_versions_are_listed(folder: Path) -> None:
    second(folder)
    code, said = prompts("list", NAME)
    assert code == 0
    kept = read_prompt(folder / "prompt.v1.md").hash[:12]
    assert [line.split()[:6] for line in said.splitlines()[1:]] == [
        [NAME, "v1", "yes", "yes", kept, "sandbox-small"],
        [NAME, "v2", "no", kept, "sandbox-small", str(datetime.now(UTC).date())],
    ]


@pytest.mark.usefixtures("folder")
def test_an_unknown_use_case_is_told_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert prompts("check", "acme_order")[0] == 2
    assert NAME in capsys.readouterr().err


@pytest.mark.parametrize("text", ["not toml", 'v1 = "hash"\n', 'one = { hash = "a", model = "b" }\n', "v1 = { }\n"])
def test_a_lock_that_cannot_be_read_is_a_finding_beside_those_of_others(folder: Path, text: str) -> None:
    (folder / "prompts.lock").write_text(text)
    code, said = prompts("check")
    assert code == 1
    assert said.startswith(f"{NAME}: prompts orders/prompts.lock: cannot be read")
    assert said.count("\n") == 1
