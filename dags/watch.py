"""
### Does anything call for somebody?

Looks every five minutes at what nights, calls, budgets and reviews left in the ledger, and tells people once for each
cause: over Slack, e-mail and a pager, as far as connections `alert_slack`, `alert_smtp` and `alert_pagerduty` exist.
What stands, who was told when, thresholds and silences are on page *Alerts* of Nightledger.

Switch it on where nights run by their schedule. **Safe to re-run**: an alert that was told is not told again.

**Owner**: data-platform. **If it fails**: docs/runbooks/alerts.md.
"""

from airflow.sdk import CronTriggerTimetable, dag
from pendulum import datetime

from nightledger.watching import look


@dag(
    dag_id="watch",
    schedule=CronTriggerTimetable("*/5 * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "data-platform"},
    tags=["operations"],
    doc_md=__doc__,
)
def watch():
    """One task, which looks once."""
    look()


watch()
