"""
### Write what people have decided

What people approve, edit or reject on page *Review* of Nightledger (or by `nightledger review`) is on record at once
and takes effect here: answers that were approved are written by the night they belong to, others are let go, and what
nobody has decided in time goes by the use case's default, on record as a time-out. The page starts this DAG a minute
after a decision, so that it can be taken back; every hour it starts by itself.

**Safe to re-run**, also after a kill: what has arrived is not sent again.

**Owner**: data-platform. **If it fails**: docs/runbooks/review.md.
"""

from datetime import timedelta

from airflow.sdk import CronTriggerTimetable, dag

from nightledger.review import apply, form

# Without a run for the hour that has just begun: a DAG that is new would work beside the first night.
HOURLY = CronTriggerTimetable("0 * * * *", timezone="UTC", run_immediately=timedelta(0))


@dag(
    dag_id="review",
    schedule=HOURLY,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={"owner": "data-platform"},
    params=form(),
    tags=["operations"],
    doc_md=__doc__,
)
def review():
    """One task, which goes night by night."""
    apply()


review()
