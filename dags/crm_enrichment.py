"""
### Complete the companies that changed last night

Reads companies from the CRM and the vendor's firmographics file from SFTP, leaves out those that have industry and a
size confirmed within two years, holds the rest against the expectations, has a model propose both within the key's
limits, and writes the proposals to properties of their own.

**Safe to re-run**: everything is keyed by use case, interval and row. A finished date that runs again writes nothing
and pays nothing. A company that somebody changed after it was read is left to a person.

**Owner**: revenue-operations. **If it fails**: docs/runbooks/crm_enrichment.md. The report is written in every case;
task `close` logs where.
"""

from airflow.sdk import DAG

from include.use_cases.crm_enrichment.spec import SPEC
from nightledger.nightly_dag import nightly_dag

dag: DAG = nightly_dag(SPEC, __doc__, tags=("crm", "enrichment", "tier-2"))
