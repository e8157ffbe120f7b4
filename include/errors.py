"""Every error Nightledger raises on purpose, and what the caller should do about it.

    NightledgerError
    ├── ConfigurationError      give up   a setting, spec or connection is missing or wrong
    ├── AccessDenied            give up   401 or 403: the credential is wrong, expired or lacks a scope
    ├── QuotaUsedUp             give up   what the account has paid for is used up: no retry brings it back
    ├── SystemUnavailable       retry     time-outs, 5xx, resets, limits still exceeded after the retry ladder
    ├── ContractBroken          give up   a system answered with a column, type or shape nobody agreed on
    ├── FileNotReady            retry     a file drop is missing, still growing or fails its checksum
    ├── QualityStop             give up   a critical expectation failed: the model must not see this data
    ├── LedgerUnavailable       retry     the ledger cannot be reached, so nothing may be called or written
    ├── LedgerOutdated          give up   the ledger's schema is older than this code
    └── CountsDoNotAddUp        give up   rows in and rows out differ (invariant I1)

The verdict `quarantine` is for one row, never for a stage: such a row is set aside and the rest goes on.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from include.personal import scrub

Verdict = Literal["retry", "give up", "quarantine"]


class NightledgerError(Exception):
    """Base of the tree; the message names the system, the object and what to do."""

    verdict: ClassVar[Verdict] = "give up"

    def __init__(self, problem: str, *, system: str = "", about: str = "", action: str = "") -> None:
        """Join the parts into one line; `about` is the object (file, endpoint, column), never a row's content.

        `problem` may repeat what a system said, so personal values and keys are taken out of it.
        """
        problem = scrub(problem)
        self.problem, self.system, self.about, self.action = problem, system, about, action
        where = " ".join(part for part in (system, about) if part)
        super().__init__(": ".join(part for part in (where, problem) if part) + (f". {action}" if action else ""))


class ConfigurationError(NightledgerError):
    """A setting, specification or connection is missing or wrong."""


class AccessDenied(NightledgerError):
    """The system refused the credential (401) or the credential lacks a scope (403)."""


class QuotaUsedUp(NightledgerError):
    """The vendor's account has no credit left, or reached the ceiling that its owner set there."""


class SystemUnavailable(NightledgerError):
    """The system did not answer usefully after every attempt of the retry ladder."""

    verdict = "retry"


class ContractBroken(NightledgerError):
    """The system answered with a shape, column or type that the contract does not know."""


class FileNotReady(NightledgerError):
    """A dropped file is absent, still growing, or differs from its checksum."""

    verdict = "retry"


class QualityStop(NightledgerError):
    """A critical expectation failed, or could not be run; nothing reaches the model."""


class LedgerUnavailable(NightledgerError):
    """The ledger cannot be reached; no call or write leaves without it."""

    verdict = "retry"


class LedgerOutdated(NightledgerError):
    """The ledger's schema is older than the code and this credential may not migrate it."""


class CountsDoNotAddUp(NightledgerError):
    """Some input row has no outcome, or more than one."""
