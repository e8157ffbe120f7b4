"""
### Score the leads that changed last night

Reads contacts and companies from the CRM and the vendor's firmographics file from SFTP, holds them against the
expectations, has a model score the good rows within the key's limits, and writes score, tier and next action back.

**Safe to re-run**: everything is keyed by use case, interval and row. A finished date that runs again writes nothing
and pays nothing; *Ask again* in the trigger form is the only way to pay twice.

**Owner**: revenue-operations. **If it fails**: docs/runbooks/crm_lead_scoring.md. The report is written in every case;
task `close` logs where.
"""

from airflow.sdk import dag
from pendulum import datetime

from include.use_cases.crm_lead_scoring.spec import SPEC
from nightledger.nightly import NIGHTLY, defaults, form
from nightledger.operators.enrich import EnrichOperator
from nightledger.steps import doc_of
from nightledger.tasks import check, close, extract, gate, plan, write


@dag(
    schedule=NIGHTLY,
    start_date=datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=defaults(SPEC),
    params=form(SPEC),
    tags=["crm", "scoring", "tier-1"],
    doc_md=__doc__,
)
def crm_lead_scoring():
    """The night, in order."""
    raw = extract(SPEC)
    good = check(SPEC, raw)
    shards = plan(SPEC, good)
    each = EnrichOperator.partial(
        task_id="enrich",
        use_case=SPEC.name,
        pool="model",
        map_index_template="{{ task.shard }}",
        doc_md=doc_of("enrich"),
    )
    enriched = each.expand(rows=shards)
    written = write(SPEC, gate(SPEC, good, enriched.output))
    written >> close(SPEC)


crm_lead_scoring()
