"""
### Score the leads that changed last night

Reads contacts and companies from the CRM and the vendor's firmographics file from SFTP, holds them against the
expectations, has a model score the good rows within the key's limits, and writes score, tier and next action back.

**Safe to re-run**: everything is keyed by use case, interval and row. A finished date that runs again writes nothing
and pays nothing; *Ask again* in the trigger form is the only way to pay twice.

**Owner**: revenue-operations. **If it fails**: docs/runbooks/crm_lead_scoring.md. The report is written in every case;
task `close` logs where.
"""

from airflow.sdk import DAG

from include.use_cases.crm_lead_scoring.spec import SPEC
from nightledger.nightly_dag import nightly_dag

dag: DAG = nightly_dag(SPEC, __doc__, tags=("crm", "scoring", "tier-1"))
