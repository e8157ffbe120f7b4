"""Sub-commands of `nightledger`: a module each, imported only when its command is given.

A module has `add(parser)`, which declares the command's arguments and sets `command`, a function of what was given and
of where to write, which returns the exit code.
"""

from collections.abc import Sequence

COMMANDS = {
    "ledger": ("ledger", "upgrade the ledger's schema, or verify its hash chain"),
    "explain": ("explain", "why a record has its value: write, decision, answer, input, source"),
    "run": ("run", "run one stage, or `all`, of a use case for an interval"),
    "assess": (
        "assess",
        "report on the quality of what the sources have; exit code 1 if an expectation is not met",
    ),
    "budget": ("budget", "ceilings in US dollars: show what is spent and set aside; correct them, on record"),
    "check": ("check_file", "hold a file against expectations; exit code 1 if a critical or warning one is not met"),
    "suggest": ("suggest", "write first expectations for a use case, from the rows that its last night staged"),
    "enrich": ("enrich_file", "ask a model about every line of a JSONL file; finishes what a killed call left"),
    "dead-letters": ("dead_letters", "rows that ran out of tries: list, show, replay, dismiss"),
    "quarantine": ("quarantine", "rows that were set aside: list, show, replay, mark as fixed, dismiss, export"),
    "plan": ("plan", "what nights would ask, cost and take, before they run; exit code 1 if they cannot fit"),
    "validate": (
        "validate",
        "ask labelled examples with missing, cut and drifted values; exit code 1 if the model does not bear them",
    ),
    "train": ("train", "fit a use case's model to labelled rows; exit code 1 if it is worse than the one in use"),
    "evaluate": (
        "evaluate",
        "how good a prompt, model or engine is on labelled rows, on record; exit code 1 if it may not be used",
    ),
    "control": (
        "control",
        "how far nights may go: mode, asking off and on, an earlier prompt; what people say",
    ),
    "review": ("review", "answers that wait for people: list, show, approve, edit, reject, apply, export, import"),
    "prompts": ("prompts", "versions of prompts: list, check (exit code 1 if one was edited), lock, diff, new"),
    "manifest": (
        "manifest",
        "the page of a use case, made from its declarations; `--check`: exit code 1 if not current",
    ),
    "privacy": (
        "privacy",
        "what was sent about a person; erase it on record; legal holds; exit code 1 if an erasure is not done",
    ),
    "watch": ("watch", "tell people what calls for them, once; exit code 1 if something severe stands"),
    "report": ("report", "print the morning report of a run"),
    "init": ("init", "write files to start from: `init enrich FOLDER`"),
}
NUMBERED = ("explain", "quarantine", "review")
"""Commands that are about things named one after the other."""
"""Command -> its module here, and what it does in a line of `--help`."""

WITHOUT_CONNECTIONS = ("check", "init", "train", "prompts", "manifest")
"""Commands that need neither a ledger nor a system."""
ASKING = ("--ask", "--prompt", "--against", "--models")
"""Options with which `evaluate` asks a model, also where a use case has an engine that answers in the process."""

ON_RECORD = ("--list", "--set-aside")
"""Options with which `evaluate` reads or changes what is on record, and evaluates nothing."""


def needs_connections(arguments: Sequence[str]) -> bool:
    """Whether a command needs a ledger or a system: `evaluate` does where it asks a model or looks at the record."""
    if arguments[0] != "evaluate":
        return arguments[0] not in WITHOUT_CONNECTIONS
    from include.spec.engines import local_names

    options = {one.partition("=")[0] for one in arguments}
    return bool(options & {*ASKING, *ON_RECORD}) or not {*arguments[1:]} & {*local_names()}
