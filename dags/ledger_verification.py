"""
### Is the ledger as it was recorded?

Recomputes every hash of the ledger: its chains of events, the rows that they seal, and what closed runs left. Where
heads of the ledger are kept outside of it (`NIGHTLEDGER_HEAD_FILE`), every one of them must still be there. What was
found is put on record and shown on page *Ledger* of Nightledger; the task **fails when anything was found**.

Nights may go on meanwhile. By default everything is checked, which takes seconds to minutes; without *The whole ledger*
only what was recorded after the last verification that held. **Safe to re-run**: it reads, and records its outcome.

**Owner**: data-platform. **If it fails**: docs/runbooks/ledger.md.
"""

from airflow.sdk import dag

from nightledger.verification import form, verify


@dag(
    dag_id="ledger_verification",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={"owner": "data-platform"},
    params=form(),
    tags=["operations"],
    doc_md=__doc__,
)
def ledger_verification():
    """One task, which reads the whole ledger."""
    verify()


ledger_verification()
