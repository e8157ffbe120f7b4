"""What every task says of itself in Airflow: one list for all DAGs, shown as the task's documentation."""

from __future__ import annotations

from dataclasses import dataclass

from include.links import runbook_page


@dataclass(frozen=True, slots=True)
class Step:
    """A task in plain words: what it does, reads and leaves behind, what its failure means for rows, what to do.

    `runbook` and `heading` name where the rest stands; without a heading it is the whole runbook.
    """

    does: str
    reads: str
    leaves: str
    fails: str
    todo: str
    runbook: str = "night"
    heading: str = ""

    def markdown(self) -> str:
        """As Airflow shows it; the link is relative to Airflow's own address, which its pages declare as their base."""
        page = runbook_page(self.runbook, self.heading).removeprefix("/").removesuffix("#")
        parts = [
            self.does,
            f"**Reads:** {self.reads}",
            f"**Leaves behind:** {self.leaves}",
            f"**If it fails:** {self.fails}",
            f"**What to do:** {self.todo} [Runbook: {self.heading or self.runbook.replace('_', ' ')}]({page})",
        ]
        return "\n\n".join(parts)


def doc_of(name: str) -> str:
    """The documentation of a task, for its `doc_md`."""
    return STEPS[name].markdown()


STEPS = {
    "extract": Step(
        does="Brings in the rows that changed within the night's 24 hours, each row once.",
        reads="the objects of the source system that changed, and the night's files.",
        leaves="dataset `raw`; rows that could not be read, in quarantine with their page or line.",
        fails="no row was judged, asked about or written. Airflow tries it again by itself.",
        todo="do what the page of the run says, then clear this task: a finished date is run on the rows it had.",
    ),
    "check": Step(
        does="Holds every row against the expectations of the use case.",
        reads="dataset `raw`.",
        leaves="dataset `good`; bad rows in quarantine with every reason; a result for each expectation.",
        fails="a critical expectation stopped the night before the model: nothing was paid or written, and rows that "
        "would have gone on are deferred. It is not tried again by itself.",
        todo="mend the rows at their source, then clear the run from `extract` on.",
        heading="A critical expectation failed",
    ),
    "plan": Step(
        does="Says how many calls the night needs, what they cost and how long they take; splits the rows into shards.",
        reads="dataset `good`, and the answers that are on record.",
        leaves="the expected calls, cost and time; the shards that `enrich` works on.",
        fails="nothing was paid or written. Most often the night does not fit its window at the key's limits.",
        todo="raise the limit, choose *Asking: batch* or fewer rows, then clear this task.",
        heading="A setting is missing or wrong",
    ),
    "enrich": Step(
        does="Asks the model about each row of a shard, within the key's limits and the budgets.",
        reads="a shard of dataset `good`.",
        leaves="dataset `enriched`; every call with its answer and cost; rows that ran out of tries as dead letters.",
        fails="rows that have an answer keep it, and it is not paid again; the others have none yet. Nothing was "
        "written. Airflow tries it again by itself. *Deferred* means that it waits for batches, without a worker.",
        todo="do what the page of the run says, then clear the failed shards: only what is left is asked.",
        heading="A system did not answer",
    ),
    "gate": Step(
        does="Puts the shards together, checks the answers as a whole, then decides on each row: write it, let a "
        "person see it, or only record it.",
        reads="datasets `good` and `enriched`.",
        leaves="a decision for each row; rows for a person to review; dataset `approved`.",
        fails="nothing was written. Answers that are not plausible as a whole are held back, and were paid once.",
        todo="look at the answers; mend the prompt or the expectation, then clear this task.",
        heading="A critical expectation failed",
    ),
    "write": Step(
        does="Writes approved rows back; before each write its intent and the value that stood there are on record.",
        reads="dataset `approved`.",
        leaves="changed records in the target system; what was sent and what arrived; the warehouse table.",
        fails="some rows may be written and others not; the ledger knows which. Airflow tries it again by itself.",
        todo="clear this task: what arrived is not sent again.",
        heading="A system did not answer",
    ),
    "close": Step(
        does="Proves that every row has one outcome, closes the run and writes the reports, whatever happened before.",
        reads="what the other steps put on record.",
        leaves="the run's final state, the morning report and the data-quality report.",
        fails="most often because a step before it failed: its log and the page of the run say which and why. Rows "
        "keep what they have.",
        todo="see to the step that failed first, and clear that one; this task then runs again.",
    ),
    "evaluate": Step(
        does="Asks a model about labelled rows as a night does, and judges prompt and model by what it answered.",
        reads="labelled rows beside the spec or in the folder of `NIGHTLEDGER_LABELS`; answers that are on record.",
        leaves="an evaluation on record, on page *Evaluations*, to which the next night is held.",
        fails="either prompt and model did not pass, with the reasons in the log: nights with them ask nothing. Or the "
        "model did not answer: nothing is said of the prompt, and Airflow tries again. *Skipped*: too few rows.",
        todo="look at page *Evaluations*: mend the prompt or the labels, or set the evaluation aside if it was wrong.",
        runbook="evaluations",
    ),
    "work_out": Step(
        does="Rehearses every night of a planned backfill, in a transaction that is rolled back.",
        reads="the sources of those nights, and the answers that are on record.",
        leaves="rows, calls, cost and time of each night, on the page of the plan.",
        fails="nothing was asked, paid or written, and the plan's page says why. No row is touched in any case.",
        todo="do what the plan's page says, and work out a new plan.",
    ),
    "assess": Step(
        does="Reports how good the rows of a range are, without a model and without a night.",
        reads="the sources of the use case.",
        leaves="reports, failing rows of every expectation, and a clean-up list for each owner of a source.",
        fails="there is no report. No row is set aside or written in any case. Bad rows do not make it fail.",
        todo="do what the log says, then clear this task.",
        runbook="quarantine",
    ),
    "apply_reviews": Step(
        does="Writes the answers that people have approved, and lets go those that they rejected or left too long.",
        reads="what people have decided since, in the ledger.",
        leaves="the rows' outcomes in the runs of their nights, which are sealed anew.",
        fails="decisions are kept, and are applied by the next run. A row that its system refused is a dead letter.",
        todo="look at the error, and at page Dead letters for rows that were refused.",
        runbook="review",
    ),
    "replay_dead_letters": Step(
        does="Sends the chosen dead letters through their nights once more.",
        reads="the rows as those nights had them, and the answers that are on record.",
        leaves="a new attempt of each night; the letters are replayed, or wait again.",
        fails="the letters of the nights that the log names are still open. Nothing else was asked, paid or written.",
        todo="mend what the log names, then clear this task or trigger the DAG again.",
        runbook="dead_letters",
    ),
    "replay_quarantined": Step(
        does="Sends the chosen quarantined rows through their nights once more.",
        reads="the rows as those nights had them; rows marked as fixed anew from their source.",
        leaves="a new attempt of each night; the rows are replayed, or wait again with their new reasons.",
        fails="the rows of the nights that the log names wait again. Nothing else was asked, paid or written.",
        todo="mend what the log names, then clear this task or trigger the DAG again.",
        runbook="quarantine",
    ),
    "verify": Step(
        does="Recomputes every hash of the ledger, and looks for every kept head of it.",
        reads="the whole ledger, or what was recorded after the last verification that held.",
        leaves="the outcome on record, and on page *Ledger*.",
        fails="the ledger is not as it was recorded, or it could not be read; the log says which. No row is touched.",
        todo="change nothing in the database before a backup; read the findings on page *Ledger*.",
        runbook="ledger",
    ),
    "look": Step(
        does="Looks for what calls for somebody, and tells it once over every channel that is stored.",
        reads="what nights, calls, budgets and reviews left in the ledger; when credentials expire.",
        leaves="what stands, who was told when and what each channel did not take, on page *Alerts*.",
        fails="nobody was called: the ledger could not be read, or every channel failed. No night is touched.",
        todo="look at page *Alerts*, and mend the connections `alert_...` that its log names.",
        runbook="alerts",
    ),
}
"""By the name of the step; operations have names of their own, since two of their tasks are called `replay`."""
