"""
### How good are a prompt and a model on labelled rows?

Asks about the rows as a night does: through the same limits and budgets, on record, and free where a night or an
evaluation has asked before. What was found is on page *Evaluations* of Nightledger, and **nights are held to it**:

* the gate passes: the task succeeds;
* it does not: the task **fails at once**, with the reasons, and nights with that prompt and model ask nothing;
* fewer than 20 rows: the task is **skipped**, since they say too little to let a night go or to stop one;
* several models: they are held side by side, and the task succeeds whatever they did.

A model that does not answer says nothing of the prompt: the task is tried again. **Safe to re-run**: nothing that was
answered is asked or paid twice, nothing is written anywhere else, and every evaluation stays on record.

**Owner**: data-platform. **If it fails**: docs/runbooks/evaluations.md.
"""

from airflow.sdk import dag

from nightledger.evaluation import evaluate, form


@dag(
    dag_id="evaluate",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={"owner": "data-platform"},
    params=form(),
    tags=["operations", "quality"],
    doc_md=__doc__,
)
def evaluate_prompt():
    """One task, which asks and judges."""
    evaluate()


evaluate_prompt()
