"""Sub-commands of `nightledger`: a module each, imported only when its command is given.

A module has `add(parser)`, which declares the command's arguments and sets `command`, a function of what was given and
of where to write, which returns the exit code.
"""

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
    "evaluate": ("evaluate", "how good a fitted model is on labelled rows, and what it would leave to be asked"),
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
    "watch": ("watch", "tell people what calls for them, once; exit code 1 if something severe stands"),
    "report": ("report", "print the morning report of a run"),
    "init": ("init", "write files to start from: `init enrich FOLDER`"),
}
"""Command -> its module here, and what it does in a line of `--help`."""

WITHOUT_CONNECTIONS = ("check", "init", "train", "evaluate", "prompts", "manifest")
"""Commands that need neither a ledger nor a system."""
