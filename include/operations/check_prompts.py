"""What keeps a use case's prompts from being relied on: edited versions, false statements, examples given away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from include.errors import ConfigurationError, NightledgerError
from include.operations.examples import read_examples
from include.spec import prompt_template
from include.spec.prompt import FILE_NAME, Prompt, label, load_prompt, read_prompt
from include.spec.prompt_lock import NAME, Registry, breaches, lock, open_registry, strangers
from include.spec.prompt_template import TemplateProblem
from include.spec.use_case import UseCase, load

LEAK_CHARS = 20
"""A text of an example that is shorter may stand in a prompt by chance."""


def check_prompts(use_case: str) -> list[str]:
    """A sentence for every finding, none where all is well; no text of a prompt or an example is repeated.

    Findings are about the lock, what front matters state, the version that the spec pins, and examples in prompts.
    """
    try:
        case = load(use_case)
        registry = open_registry(case.name, case.folder)
    except NightledgerError as error:
        return [str(error)]
    return list(dict.fromkeys((*_findings(case, registry), *_unlocked(registry))))


def lock_prompts(use_case: str) -> list[int]:
    """Lock the versions that are not; returns their numbers.

    Raises ConfigurationError, with nothing written, while there is any other finding: what is locked stays as it is.
    """
    case = load(use_case)
    registry = open_registry(case.name, case.folder)
    if first := next(_findings(case, registry), None):
        raise ConfigurationError(first, system="prompts", about=use_case, action="Nothing was locked")
    return lock(registry, {version: read_prompt(path) for version, path in registry.files.items()})


def _findings(case: UseCase, registry: Registry) -> Iterator[str]:
    readable: dict[int, Prompt] = {}
    for version, path in registry.files.items():
        try:
            readable[version] = read_prompt(path)
        except NightledgerError as error:
            yield str(error)
    yield from (f"{registry.folder.name}/{name} is no prompt.vN.md: rename it" for name in strangers(registry))
    yield from breaches(registry, readable)
    yield from _statements(registry, readable)
    if case.model is not None:
        if not FILE_NAME.fullmatch(case.model.prompt):
            yield f"the spec pins {case.model.prompt}, which is no prompt.vN.md: nothing holds its text"
        try:
            load_prompt(case)
        except NightledgerError as error:
            yield str(error)
    yield from _leaks(case, registry, readable)


def _unlocked(registry: Registry) -> Iterator[str]:
    todo = f"once it is right: nightledger prompts lock {registry.use_case}, and commit {NAME}"
    if registry.files and not registry.locked:
        yield f"{registry.folder.name} has no {NAME} yet, so that an edited prompt would not be noticed; {todo}"
    else:
        yield from (f"{label(registry.path(version))} is not locked; {todo}" for version in registry.unlocked)


def _statements(registry: Registry, prompts: Mapping[int, Prompt]) -> Iterator[str]:
    """What versions say of themselves, in use or not."""
    for version, prompt in prompts.items():
        where = label(registry.path(version))
        if prompt.states.missing:
            yield f"{where}: front matter lacks {', '.join(prompt.states.missing)}"
        if prompt.name != registry.use_case or prompt.version != f"v{version}":
            yield f"{where}: front matter says {prompt.name} {prompt.version}"
        before = prompts[version - 1].states.changed if version - 1 in prompts else None
        if before and prompt.states.changed and prompt.states.changed < before:
            yield f"{where}: `changed` is before that of v{version - 1}"
        try:
            read = prompt_template.reads(prompt.user)
        except TemplateProblem as problem:
            yield f"{where}: # user, {problem}"
            continue
        unsaid = read.columns - {*prompt.states.inputs} if prompt.states.inputs else ()
        if unsaid:
            yield f"{where}: inputs: lacks {', '.join(sorted(unsaid))}, which is shown"


def _leaks(case: UseCase, registry: Registry, prompts: Mapping[int, Prompt]) -> Iterator[str]:
    """Examples that a prompt gives away: an answer to them proves nothing.

    A locked version that is no longer in use is left alone: it harms nobody, and could not be put right.
    """
    file = case.folder / "evals.jsonl"
    if not file.exists():
        return
    try:
        examples = read_examples(file)
    except NightledgerError as error:
        yield str(error)
        return
    for version, prompt in prompts.items():
        path = registry.path(version)
        if version in registry.locked and (case.model is None or path.name != case.model.prompt):
            continue
        said = _words("\n".join((prompt.system, prompt.user, prompt.stricter)))
        for number, example in enumerate(examples, start=1):
            for column, value in example.given.items():
                if any(len(text) >= LEAK_CHARS and text in said for text in map(_words, _texts(value))):
                    yield (
                        f"{label(path)} holds `{column}` of example {number} of evals.jsonl word for word: an answer "
                        "to it proves nothing. Take it out of one of them"
                    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _words(text: str) -> str:
    """A text by its words: however its lines are broken, and in whatever case."""
    return " ".join(text.casefold().split())
