"""What evaluations on record say of the prompt and the models that a run is about to ask."""

from __future__ import annotations

import logging

from include.database import transaction
from include.errors import ConfigurationError
from include.ledger.evaluations import newest
from include.run import Night
from include.spec.prompt import Prompt

log = logging.getLogger(__name__)


def hold_to_evaluation(night: Night, prompt: Prompt) -> None:
    """Raise ConfigurationError if the newest evaluation of the run's prompt and model failed.

    So it does where none is on record and the spec says `evaluated="required"`. Models that take over are not held to
    theirs: they are asked where the alternative is no answer; one that failed is said in the log.
    """
    choice = night.case.model
    if choice is None:
        return
    name, about = night.case.name, f"{night.case.name} {prompt.version} by {night.model_name}"
    with transaction(night.ledger) as connection:
        found = newest(connection, name, prompt.hash, night.model_name)
        others = {one.name: newest(connection, name, prompt.hash, one.name) for one in choice.failover}
    for model, other in others.items():
        if other is not None and other.verdict == "failed":
            log.warning("%s takes over where it must, though evaluation %s failed it", model, other.evaluation_id)
    again = f"`nightledger evaluate {name} --prompt {prompt.version} --model {night.model_name}`"
    if found is None and night.case.evaluated == "required":
        raise ConfigurationError(
            "no evaluation has passed this prompt and model, and the spec requires one",
            system="enrich",
            about=about,
            action=f"Run {again}; nothing was paid",
        )
    if found is None:
        log.info("%s: no evaluation of this prompt and model is on record", about)
    elif found.verdict == "failed":
        raise ConfigurationError(
            f"evaluation {found.evaluation_id} of {found.recorded_at:%Y-%m-%d %H:%M} UTC failed it: "
            f"{'; '.join(found.reasons)}",
            system="enrich",
            about=about,
            action=f"Pin a version that passed, or mend the labels and run {again}; nothing was paid",
        )
