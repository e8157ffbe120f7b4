"""
### Send dead letters again

Rows that ran out of tries wait in the ledger with their whole record, personal values as tokens. When what failed works
again, trigger this DAG and say which of them to send: by use case, cause, system, stage or night; empty means all.

The nights they belong to run once more **on the rows they were run on**: answers on record are reused and writes that
arrived are unchanged, so only the chosen rows are paid and written. **Safe to re-run**, also after a kill.

**Owner**: data-platform. **If it fails**: docs/runbooks/dead_letters.md.
"""

from airflow.sdk import dag

from nightledger.dead_letters import form, replay


@dag(
    dag_id="dead_letters",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={"owner": "data-platform"},
    params=form(),
    tags=["operations"],
    doc_md=__doc__,
)
def dead_letters():
    """One task, which goes night by night."""
    replay()


dead_letters()
