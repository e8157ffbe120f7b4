"""
### Work out what a range of nights would cost

Started by the page *Backfill*. Every night of the range is rehearsed in a transaction that is rolled back: rows,
answers to reuse, calls, tokens, cost and time at the limits. Nothing is asked, paid or written.

**Safe to re-run**: a plan is worked out anew. **Owner**: data-platform. **If it fails**: the plan's page says why.
"""

from airflow.sdk import dag

from nightledger.backfill_plan import form, work_out


@dag(
    dag_id="backfill_plan",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={"owner": "data-platform"},
    params=form(),
    tags=["operations"],
    doc_md=__doc__,
)
def backfill_plan():
    """One task, which goes night by night."""
    work_out()


backfill_plan()
