"""A use case that was let go alone goes back to asking people, when they overrule it or its answers are stopped."""

from __future__ import annotations

import logging

from sqlalchemy import Connection, text

from include.ledger.control import find_control, measure_agreement, set_control
from include.models import Mode
from include.run import Night

log = logging.getLogger(__name__)


def demote(connection: Connection, night: Night) -> str | None:
    """Set mode gated where auto was set and does not hold any more; returns why, or None."""
    if find_control(connection, night.case.name).mode is not Mode.AUTO:
        return None
    why = _why(connection, night)
    if why:
        set_control(connection, night.case.name, "nightledger", f"back to gated: {why}", {"mode": Mode.GATED})
        log.warning("%s goes back to mode gated: %s", night.case.name, why)
    return why


def _why(connection: Connection, night: Night) -> str | None:
    if connection.scalar(_STOPPED, {"run": night.run_id}) == "answers.stopped":
        return "an expectation on its answers stopped a night"
    limits = night.case.rollout
    prompt = connection.scalar(_PROMPT, {"run": night.run_id})
    found = measure_agreement(connection, night.case.name, str(prompt), night.model_name, limits.newest)
    overruled = found.decided - found.agreed
    if found.decided >= limits.few and overruled > limits.overruled * found.decided:
        return f"people overruled {overruled} of {found.decided} answers"
    return None


_PROMPT = text("SELECT prompt_hash FROM nightledger.run WHERE run_id = :run")
_STOPPED = text("""
SELECT type FROM nightledger.event WHERE stream = :run AND type IN ('answers.stopped', 'answers.completed')
 ORDER BY seq DESC LIMIT 1""")
