"""What evaluations on record say of the prompt and the models that a run is about to ask."""

from __future__ import annotations

import logging

from sqlalchemy import Connection

from include.database import transaction
from include.errors import ConfigurationError
from include.ledger.evaluations import Standing, newest
from include.run import Night
from include.spec.prompt import Prompt
from include.spec.use_case import UseCase

log = logging.getLogger(__name__)


def hold_to_evaluation(night: Night, prompt: Prompt) -> None:
    """Raise ConfigurationError if the newest evaluation of the run's prompt and model failed.

    So it does where none is on record and the spec says `evaluated="required"`. Models that take over are not held to
    theirs: they are asked where the alternative is no answer; one that failed is said in the log.
    """
    choice = night.case.model
    if choice is None:
        return
    with transaction(night.ledger) as connection:
        found = newest(connection, night.case.name, prompt.hash, night.model_name)
        others = {one.name: newest(connection, night.case.name, prompt.hash, one.name) for one in choice.failover}
    for model, other in others.items():
        if other is not None and other.verdict == "failed":
            log.warning("%s takes over where it must, though evaluation %s failed it", model, other.evaluation_id)
    if refused := _refusal(night.case, prompt, night.model_name, found):
        raise refused
    if found is None:
        about = f"{night.case.name} {prompt.version} by {night.model_name}"
        log.info("%s: no evaluation of this prompt and model is on record", about)


def find_refusal(
    connection: Connection, case: UseCase, prompt: Prompt, model: str
) -> tuple[Standing | None, ConfigurationError | None]:
    """The evaluation that counts for a prompt and a model, and what a night that began now would be refused with."""
    found = newest(connection, case.name, prompt.hash, model)
    return found, _refusal(case, prompt, model, found)


def _refusal(case: UseCase, prompt: Prompt, model: str, found: Standing | None) -> ConfigurationError | None:
    about, system = f"{case.name} {prompt.version} by {model}", "enrich"
    command = f"nightledger evaluate {case.name}"
    again = f"`{command} --prompt {prompt.version} --model {model}`"
    if found is None and case.evaluated == "required":
        problem = "no evaluation has passed this prompt and model, and the spec requires one"
        return ConfigurationError(problem, system=system, about=about, action=f"Run {again}; nothing was paid")
    if found is None or found.verdict != "failed":
        return None
    when = f"{found.recorded_at:%Y-%m-%d %H:%M} UTC"
    problem = f"evaluation {found.evaluation_id} of {when} failed it: {'; '.join(found.reasons)}"
    aside = f'`{command} --set-aside {found.evaluation_id} --because "..."`'
    mend = f"Pin a version that passed, or mend the labels and run {again}"
    action = f"{mend}; if the evaluation itself was wrong, {aside}; nothing was paid"
    return ConfigurationError(problem, system=system, about=about, action=action)
