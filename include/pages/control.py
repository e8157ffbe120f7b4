"""How far each use case may go, what people agreed with, and what waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from include.database import Database
from include.ledger.control import (
    ITSELF,
    Control,
    Progress,
    falls_short,
    find_control,
    lower_bound,
    measure_progress,
    propose_mode,
    with_prompt,
)
from include.ledger.review_queue import count_waiting
from include.models import Mode, Record
from include.pages.reading import reading, rows
from include.spec.prompt import load_prompt
from include.spec.use_case import UseCase, load


@dataclass(frozen=True, slots=True)
class Controlled:
    """One use case: its mode, what people set, the prompt versions there are, and what people made of its answers.

    `alike` is the lower end of the share of records that people filled in as shadow proposed; `short` says what shadow
    has not shown yet. `steps` says when each mode is proposed, `back` when auto is taken back; `taken_back` why it was,
    by itself, while nobody has set anything since.
    """

    name: str
    sentence: str
    mode: Mode
    declared: Mode
    control: Control
    versions: tuple[str, ...]
    prompt: str | None
    progress: Progress | None
    alike: float
    short: str
    steps: dict[str, str]
    back: tuple[str, ...]
    taken_back: str
    waiting: int
    never_alone: str | None
    proposed: Mode | None


@dataclass(frozen=True, slots=True)
class ControlPage:
    """Every use case, and the newest changes of any of them."""

    use_cases: list[Controlled]
    changes: list[Record]


def show_control(ledger: Database, names: Sequence[str]) -> ControlPage:
    """The use cases of these names."""
    cases = [load(name) for name in names]
    prompts = {case.name: load_prompt(case) for case in cases if case.model is not None}
    with reading(ledger) as connection:
        waiting, found = count_waiting(connection, list(names)), []
        for case in cases:
            control = find_control(connection, case.name)
            prompt, progress = prompts.get(case.name), None
            if prompt is not None:
                if control.prompt:
                    prompt = load_prompt(with_prompt(case, control.prompt))
                progress = measure_progress(connection, case, prompt.hash)
            found.append(_controlled(case, control, prompt.version if prompt else None, progress, waiting))
        changes = rows(connection, _CHANGES, streams=[f"control/{name}" for name in names])
    return ControlPage(found, [dict(row) for row in changes])


def _controlled(
    case: UseCase, control: Control, prompt: str | None, progress: Progress | None, waiting: dict[str, int]
) -> Controlled:
    mode, rollout = control.mode or case.mode, case.rollout
    people = progress.shadow.people if progress else None
    versions = sorted(file.name.split(".")[1] for file in case.folder.glob("prompt.v*.md"))
    return Controlled(
        case.name,
        case.sentence,
        mode,
        case.mode,
        control,
        tuple(versions),
        prompt,
        progress,
        lower_bound(people.agreed, people.compared) if people else 0.0,
        falls_short(case, progress.shadow) if progress else "",
        {"gated": rollout.gated_when, "auto": rollout.auto_when},
        rollout.back_when,
        control.reason if control.changed_by == ITSELF else "",
        waiting.get(case.name, 0),
        case.never_alone,
        propose_mode(case, mode, progress) if progress else None,
    )


_CHANGES = """
SELECT recorded_at AS at, substr(stream, 9) AS use_case, actor, details FROM nightledger.event
 WHERE stream = ANY (:streams) ORDER BY recorded_at DESC LIMIT 20"""
