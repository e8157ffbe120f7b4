"""
### Brief the accounts that were active last night

Reads companies with activity from the CRM, keeps those that are customers, holds them against the expectations, and
lets a bounded agent read each account's tickets and invoices and propose a short note with its sources. Every note
waits for a person; an agreed one is written to properties of its own.

**Safe to re-run**: everything is keyed by use case, interval and row. A finished date that runs again asks nothing,
reads nothing with a tool and writes nothing; after a crash only what is missing is asked.

**Owner**: key-account-management. **If it fails**: docs/runbooks/account_brief.md. The report is written in every case;
task `close` logs where.
"""

from airflow.sdk import DAG

from include.use_cases.account_brief.spec import SPEC
from nightledger.nightly_dag import nightly_dag

dag: DAG = nightly_dag(SPEC, __doc__, tags=("crm", "accounts", "tier-3"))
