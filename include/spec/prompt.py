"""Prompt files: front matter, then `# system` and `# user` parts, of which the last is a template of one row.

The front matter is TOML. `name`, `version` and `stricter` (what is sent when an answer could not be used) are needed;
the rest states what the version was written for, and is held against the spec whenever a prompt is loaded. The spec is
what is asked by: the front matter changes nothing of what is sent, but for `attached`, files of the same folder (such
as guidelines) that are sent behind the system part as if they stood in it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any

from include.canonical import canonical, digest
from include.errors import ConfigurationError
from include.models import Record
from include.spec import prompt_template
from include.spec.prompt_template import TemplateProblem
from include.spec.use_case import ModelChoice, UseCase

DATA_CLASSES = ("public", "internal", "confidential", "personal", "special", "payment")
"""What a prompt may say of the data it is shown; docs/prompts.md has their meaning."""
FILE_NAME = re.compile(r"prompt\.v([1-9][0-9]*)\.md")
_ATTACHED = re.compile(r"[a-z][a-z0-9_]*(?:\.v[1-9][0-9]*)?\.md")
_PARTS = re.compile(r"\A\+\+\+\n(?P<front>.*?)\n\+\+\+\n+# system\n(?P<system>.*?)\n# user\n(?P<user>.*)\Z", re.DOTALL)
_NEEDED = ("name", "version", "stricter")
_STRICTER = (
    "Your last answer could not be used: {problem}. Answer again with one JSON object that fits the schema and nothing "
    "else."
)


@dataclass(frozen=True, slots=True)
class Statement:
    """What a version says of itself; None where it says nothing.

    `inputs` are the columns that its template shows, `output` the class that answers must fit, `data` the classes of
    what it shows, `changed` and `change` when it came and how it differs from the version before.
    """

    model: str | None = None
    parameters: Mapping[str, Any] | None = None
    inputs: tuple[str, ...] | None = None
    output: str | None = None
    data: tuple[str, ...] | None = None
    owner: str | None = None
    changed: date | None = None
    change: str | None = None

    @property
    def missing(self) -> list[str]:
        """The fields that say nothing."""
        return [one.name for one in fields(self) if getattr(self, one.name) is None]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt version; `hash` covers both parts, so an edit without a new version is still seen in the ledger.

    `system` has the texts of the `attached` files at its end, so an edit of one of those is an edit of the prompt.
    """

    name: str
    version: str
    system: str
    user: str
    stricter: str
    states: Statement = field(default_factory=Statement)
    attached: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """sha256 over everything that is sent."""
        return digest({"system": self.system, "user": self.user, "stricter": self.stricter})

    def as_mapping(self) -> dict[str, str]:
        """The fields that the ledger keeps once per hash."""
        return {
            "name": self.name,
            "version": self.version,
            "hash": self.hash,
            "system": self.system,
            "user": self.user,
        }

    def render(self, row: Record) -> str:
        """The user message for one row; the template sees `row` and `record` (the row as canonical JSON).

        Raises ConfigurationError if the template asks for a column that the spec does not let the model see, does not
        bear what the row holds, or does not come to an end.
        """
        try:
            return prompt_template.render(self.user, row)
        except TemplateProblem as problem:
            raise ConfigurationError(
                f"cannot be rendered: {problem}", system="prompt", about=f"{self.name} {self.version}"
            ) from problem


def load_prompt(case: UseCase) -> Prompt:
    """Read the prompt file that the spec pins; raises ConfigurationError naming the file and what is wrong in it.

    So it does where the file says otherwise than the spec. Where nobody is asked, the prompt on record is an empty one.
    """
    if case.model is None:
        return Prompt(case.name, "none", "", "", "")
    prompt = read_prompt(case.prompt_file)
    for where, problem in differences(prompt, case, case.model):
        raise _wrong(case.prompt_file, f"{where}: {problem}")
    return prompt


def read_prompt(path: Path) -> Prompt:
    """Read one prompt file (see the module's docstring for its form); raises ConfigurationError naming file and field.

    Everything is checked that can be without a spec.
    """
    parts, front = _read_parts(path)
    for name in front.keys() - {*_NEEDED, "attached", *(one.name for one in fields(Statement))}:
        raise _wrong(path, f"there is no field `{name}` in a front matter")
    missing = {*_NEEDED} - front.keys()
    if missing:
        raise _wrong(path, f"front matter lacks {sorted(missing)}")
    for name in _NEEDED:
        _text(path, name, front[name])
    _check_stricter(path, front["stricter"])
    user = parts["user"].strip()
    try:
        prompt_template.check(user)
    except TemplateProblem as problem:
        raise _wrong(path, f"# user, {problem}") from problem
    attached = _attached(path, front)
    system = "\n\n".join((parts["system"].strip(), *attached.values()))
    states = _read_statement(path, front)
    return Prompt(front["name"], front["version"], system, user, front["stricter"], states, tuple(attached))


def read_any_prompt(path: Path) -> Prompt:
    """Read a prompt file of any form, to try one out.

    Without front matter, a file with `{{ ... }}` in it is the user message, and any other is the system message, with
    the row as JSON for the user message. The version is the hash of the text.
    """
    text = _read(path)
    if text.startswith("+++"):
        return read_prompt(path)
    is_user = "{{" in text or "{%" in text
    system, user = ("Answer with one JSON object that fits the schema.", text) if is_user else (text, "{{ record }}")
    try:
        prompt_template.check(user.strip())
    except TemplateProblem as problem:
        raise _wrong(path, str(problem)) from problem
    return Prompt(path.stem, digest(text)[:12], system.strip(), user.strip(), _STRICTER)


def parts_of(path: Path) -> dict[str, str]:
    """The texts of a prompt by their part: `front matter`, `system`, `user`, `attached`; raises ConfigurationError."""
    parts, front = _read_parts(path)
    own = {"front matter": parts["front"], "system": parts["system"].strip(), "user": parts["user"].strip()}
    return own | {"attached": "\n\n".join(_attached(path, front).values())}


def label(path: Path) -> str:
    """A prompt file as errors name it: its folder, which is its use case's, and its name."""
    return f"{path.parent.name}/{path.name}"


def shown_columns(prompt: Prompt, case: UseCase) -> set[str]:
    """The columns that a prompt's template shows; raises TemplateProblem where that cannot be told."""
    read = prompt_template.reads(prompt.user)
    return {*read.columns, *(case.model_sees if read.whole else ())}


def differences(prompt: Prompt, case: UseCase, choice: ModelChoice) -> Iterator[tuple[str, str]]:
    """Where a prompt's front matter or template says otherwise than the spec: a field, and a sentence."""
    states = prompt.states
    if prompt.name != case.name:
        yield "name", f"says {prompt.name!r}, and belongs to {case.name!r}"
    found = FILE_NAME.fullmatch(choice.prompt)
    if found and prompt.version != f"v{found[1]}":
        yield "version", f"says {prompt.version!r} in a file called {choice.prompt}"
    if states.model not in (None, choice.name):
        yield (
            "model",
            f"was written for {states.model}, and the spec asks {choice.name}. Put back the spec's model, or make a "
            f"version for the other one: nightledger prompts new {case.name}",
        )
    if states.parameters is not None and canonical(states.parameters) != canonical(choice.parameters):
        yield (
            "parameters",
            f"says {canonical(states.parameters)}, and the spec asks with {canonical(choice.parameters)}",
        )
    yield from _differing_columns(prompt, case)
    if states.output is not None and (problem := _differing_output(states.output, case)):
        yield "output", problem
    if states.owner not in (None, case.owner):
        yield "owner", f"says {states.owner!r}, and the spec says {case.owner!r}"
    if states.data is not None and "personal" not in states.data and (told := {*case.personal} & {*case.model_sees}):
        yield "data", f"lacks personal, which {', '.join(sorted(told))} is by the spec"


def _differing_columns(prompt: Prompt, case: UseCase) -> Iterator[tuple[str, str]]:
    """Columns that the template shows, the front matter states and `model_sees` lists must be the same."""
    try:
        shown = shown_columns(prompt, case)
    except TemplateProblem as problem:
        yield "# user", str(problem)
        return
    if hidden := shown - {*case.model_sees}:
        yield "# user", f"reads {', '.join(sorted(hidden))}, which `model_sees` of the spec does not list"
    if prompt.states.inputs is None:
        return
    stated = {*prompt.states.inputs}
    if unknown := stated - {*case.model_sees}:
        yield "inputs", f"lists {', '.join(sorted(unknown))}, which `model_sees` of the spec does not"
    if unsaid := shown - stated:
        yield "inputs", f"lacks {', '.join(sorted(unsaid))}, which is shown"
    if unread := (stated & {*case.model_sees}) - shown:
        yield "inputs", f"lists {', '.join(sorted(unread))}, which the template does not show"


def _differing_output(name: str, case: UseCase) -> str | None:
    module = case.module("output")
    if not hasattr(module, name):
        return f"there is no class {name!r} in {module.__name__}"
    if getattr(module, name) is not module.Output:
        return f"says {name!r}, and answers must fit `Output` of {module.__name__}"
    return None


def _read_parts(path: Path) -> tuple[re.Match[str], dict[str, Any]]:
    parts = _PARTS.match(_read(path))
    if parts is None:
        raise _wrong(path, "needs TOML between two +++ lines, then `# system` and `# user`")
    try:
        return parts, tomllib.loads(parts["front"])
    except tomllib.TOMLDecodeError as error:
        raise _wrong(path, f"front matter is no TOML: {error}") from error


def _attached(path: Path, front: Mapping[str, Any]) -> dict[str, str]:
    """The texts of the files beside a prompt that are sent with it, by name, in their order."""
    names = _texts(path, "attached", front["attached"]) if "attached" in front else ()
    found = dict[str, str]()
    for name in names:
        if not _ATTACHED.fullmatch(name) or FILE_NAME.fullmatch(name):
            raise _wrong(path, f"`attached` must name files beside it such as guidelines.v1.md, not {name!r}")
        found[name] = _read(path.parent / name).strip()
        if not found[name]:
            raise _wrong(path, f"`attached` names {name}, which is empty")
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(path, "the prompt file cannot be read") from error


def _read_statement(path: Path, front: Mapping[str, Any]) -> Statement:
    states = Statement(**{one.name: front[one.name] for one in fields(Statement) if one.name in front})
    for name in ("model", "output", "owner", "change"):
        if name in front:
            _text(path, name, front[name])
    if states.parameters is not None and not isinstance(states.parameters, dict):
        raise _wrong(path, f"`parameters` must be a table such as {{ temperature = 0 }}, not {states.parameters!r}")
    if states.changed is not None and (not isinstance(states.changed, date) or isinstance(states.changed, datetime)):
        raise _wrong(path, f"`changed` must be a date such as 2026-11-20, without quotes, not {states.changed!r}")
    lists = {name: _texts(path, name, front[name]) for name in ("inputs", "data") if name in front}
    if unknown := set(lists.get("data", ())) - {*DATA_CLASSES}:
        raise _wrong(path, f"`data` must be of {', '.join(DATA_CLASSES)}, not {', '.join(sorted(unknown))}")
    plain = {one.name: getattr(states, one.name) for one in fields(states)}
    return Statement(**{**plain, **lists})


def _text(path: Path, name: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip() or value.strip().lower() in {"todo", "tbd", "n/a", "?"}:
        raise _wrong(path, f"`{name}` must be a text that says something, not {value!r}")


def _texts(path: Path, name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise _wrong(path, f"`{name}` must be a list of texts, at least one, not {value!r}")
    if len(set(value)) < len(value):
        raise _wrong(path, f"`{name}` lists something twice")
    return tuple(value)


def _check_stricter(path: Path, text: str) -> None:
    """It is filled in when an answer could not be used: by then it is too late to find that it cannot be."""
    try:
        text.format(problem="")
    except (LookupError, ValueError, AttributeError) as error:
        problem = "`stricter` may hold {problem} and no other brace; a brace itself is written twice"
        raise _wrong(path, problem) from error


def _wrong(path: Path, problem: str) -> ConfigurationError:
    return ConfigurationError(problem, system="prompt", about=label(path))
