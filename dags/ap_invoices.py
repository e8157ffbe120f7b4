"""
### Read the invoices that arrived last night

Takes PDFs and e-invoices from SFTP, reads e-invoices exactly in the process, has a model read the other documents, and
holds every answer against itself and against the purchase order in the ERP. Nothing is booked without a person.

**Safe to re-run**: everything is keyed by use case, interval and document. A finished date that runs again writes
nothing and pays nothing; *Ask again* in the trigger form is the only way to pay twice.

**Owner**: accounts-payable. **If it fails**: docs/runbooks/ap_invoices.md. The report is written in every case; task
`close` logs where.
"""

from airflow.sdk import DAG

from include.use_cases.ap_invoices.spec import SPEC
from nightledger.nightly_dag import nightly_dag

dag: DAG = nightly_dag(SPEC, __doc__, tags=("finance", "invoices", "tier-1"))
