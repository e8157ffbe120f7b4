"""
### Sort the tickets of the day

Reads tickets from the CRM and from the service desk's nightly file, and the customers' list beside it; holds them
against the expectations; lets the fitted model decide what it is certain of and has a model asked about the rest.
Category and priority go back to the CRM's tickets, to a file in `sorted/` for those of the file, and urgent ones to
whoever is on duty.

**Safe to re-run**: everything is keyed by use case, interval and row. A finished date that runs again writes nothing,
calls nobody and pays nothing; *Ask again* in the trigger form is the only way to pay twice.

**Owner**: service-desk. **If it fails**: docs/runbooks/support_triage.md. The report is written in every case; task
`close` logs where.
"""

from airflow.sdk import DAG

from include.use_cases.support_triage.spec import SPEC
from nightledger.nightly_dag import nightly_dag

dag: DAG = nightly_dag(SPEC, __doc__, tags=("support", "tickets", "tier-2"))
