"""
### Draft replies to the tickets of the day

Reads how last night's `support_triage` sorted the tickets, joins the text of those that are at the service desk from
its nightly file, and has a model draft a reply to each from the guidelines. A person agrees to every draft, changes it
or turns it down; what was agreed to becomes a private comment on the ticket, which an agent sends. Runs after each
night of triage.

**Safe to re-run**: a finished date that runs again calls nobody, pays nothing and puts no draft on a ticket twice. *Ask
again* in the trigger form is the only way to pay twice.

**Owner**: service-desk. **If it fails**: docs/runbooks/support_reply.md.
"""

from airflow.sdk import DAG

from include.use_cases.support_reply.spec import SPEC
from include.use_cases.support_triage.spec import SPEC as TRIAGE
from nightledger.nightly_dag import nightly_dag
from nightledger.tasks import written_by

dag: DAG = nightly_dag(SPEC, __doc__, schedule=[written_by(TRIAGE)], tags=("support", "replies", "tier-2"))
