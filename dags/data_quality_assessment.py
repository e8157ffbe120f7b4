"""
### How good is what the sources have?

Reads the rows of a range from the sources of a use case, holds them against its expectations and reports: every
expectation with all failing rows, drift against the nights before, and a clean-up list for each owner of a source.
Before a project starts, or after a clean-up, this is the question to ask first.

**It touches nothing**: no model is asked, nothing is written back or set aside, and no night sees it.
**Safe to re-run**: the reports of the same range are replaced. Task `assess` returns where they are.

**Owner**: data-platform. **If it fails**: docs/runbooks/quarantine.md.
"""

from airflow.sdk import dag

from nightledger.assessment import assess, form


@dag(
    dag_id="data_quality_assessment",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "data-platform"},
    params=form(),
    tags=["operations", "quality"],
    doc_md=__doc__,
)
def data_quality_assessment():
    """One task, which reads and reports."""
    assess()


data_quality_assessment()
