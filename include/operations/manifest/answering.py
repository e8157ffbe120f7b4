"""Who answers, by which prompt, and what they are held against, as a manifest says it."""

from __future__ import annotations

from include.operations.manifest.layout import code, section, table
from include.spec.prompt import load_prompt
from include.spec.prompt_lock import open_registry
from include.spec.use_case import UseCase, file_sha256

EVALS = "evals.jsonl"
_OF_ENGINE = ("local.py", "*.skops")


def prompt(case: UseCase) -> list[str]:
    """The pinned version, its hash, and whether it is locked."""
    if case.model is None:
        return section("Prompt", ["None: nobody is asked."])
    found, registry = load_prompt(case), open_registry(case.name, case.folder)
    locked = {one.hash for one in registry.locked.values()}
    said = found.states
    rows = (
        ("File", f"`{case.model.prompt}`"),
        ("Version", found.version),
        ("Hash (sha256 of what is sent)", f"`{found.hash}`"),
        ("Owner", said.owner or "not declared"),
        ("Changed", f"{said.changed or 'not declared'}: {said.change or 'not declared'}"),
        ("`prompts.lock`", "locked, as it was" if found.hash in locked else "not locked yet"),
        ("All versions", code(path.name for path in registry.files.values())),
    )
    return section("Prompt", table(("", ""), rows))


def answering(case: UseCase) -> list[str]:
    """The engine that decides in the process, and the model with its parameters."""
    return section("Who answers", _engine(case), _model(case), *_agent(case))


def evaluation(case: UseCase) -> list[str]:
    """Labelled rows by number, the bar, and where the newest result is."""
    path = case.folder / EVALS
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    labelled = sum(1 for line in lines if line.strip())
    said = (
        f"a prompt must answer at least {case.bar:.0%} of them rightly" if case.model else "no prompt to hold to a bar"
    )
    if case.agent:
        said = "people judge a prompt by them, since an agent reads what is there now"
    return section(
        "Evaluation",
        [f"{labelled} labelled rows in `{EVALS}`; {said}."],
        ["Results are no declaration and not repeated here: the newest one of prompt and model is in the ledger."],
    )


def _engine(case: UseCase) -> list[str]:
    if case.local is None:
        return ["Nothing is decided in the process."]
    files = sorted({path for pattern in _OF_ENGINE for path in case.folder.glob(pattern)})
    rows = [
        ("Engine in the process", type(case.local).__name__),
        ("On record as", f"`{case.local.open(case.folder, case.module('output').Output).name}`"),
        ("Reads", code(case.local.reads)),
        *((f"sha256 of `{path.name}`", f"`{file_sha256(path)}`") for path in files),
    ]
    return table(("", ""), rows)


def _agent(case: UseCase) -> list[list[str]]:
    """What the model may read with, and how far it may go for one row."""
    agent = case.agent
    if agent is None:
        return []
    limits = (
        ("Questions for a row, at most", agent.steps),
        ("Reads for a row, at most", agent.tool_calls),
        ("Tokens of a row, at most", f"{agent.tokens:,}"),
        ("Cost of a row, at most", f"{agent.usd} USD"),
        ("Calls and reads of a row, at most", f"{agent.seconds:g} s"),
        (
            "An answer cites",
            f"`{agent.cites}`: ids of records that were shown, after {agent.least_reads} reads at least",
        ),
    )
    tools = (
        (f"`{one.name}`", f"{one.reads.system} {one.reads.object} of `{one.reads.owner}`", code(one.shows), one.rows)
        for one in agent.tools
    )
    return [table(("Agent", ""), limits), table(("Tool", "Reads", "Shows", "Records at most"), tools)]


def _model(case: UseCase) -> list[str]:
    model = case.model
    if model is None:
        return ["No model is asked."]
    then = (f"{one.name} through {one.system}" for one in model.failover)
    rows = (
        ("Model", f"`{model.name}` through `{model.system}`"),
        ("Parameters", code(f"{name}={value}" for name, value in model.parameters.items())),
        ("Output tokens at most", model.max_output_tokens),
        ("Asked again when unusable, at most", f"{model.reasks} times"),
        ("If it is down", code(then, "nobody else is asked")),
        ("Asked", case.asking + (f", because: {case.why_not_batch}" if case.why_not_batch else "")),
    )
    return table(("", ""), rows)
