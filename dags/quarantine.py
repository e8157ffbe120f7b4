"""
### Replay quarantined rows

Rows that failed an expectation wait in the ledger with every reason and their record, personal values as tokens. When
they were corrected at their source, or an expectation was changed, trigger this DAG and say which of them to send
through their night again: by use case, expectation, owner, row key, night or number; empty means all that wait.

Rows marked as fixed are read anew from their source, or all chosen ones with *Read anew*. *Let pass* names expectations
that the chosen rows may fail, for a reason that is kept; critical ones are never passed.

Each night gets a new attempt **on the rows it was run on**: rows that were not chosen keep what they have, so nothing
else is asked, paid or written. **Safe to re-run**, also after a kill.

**Owner**: data-platform. **If it fails**: docs/runbooks/quarantine.md.
"""

from airflow.sdk import dag

from nightledger.quarantine import form, replay


@dag(
    dag_id="quarantine",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={"owner": "data-platform"},
    params=form(),
    tags=["operations"],
    doc_md=__doc__,
)
def quarantine():
    """One task, which goes night by night."""
    replay()


quarantine()
