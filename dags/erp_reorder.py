"""
### Propose what to order

Reads what last night's `erp_demand_forecast` wrote, joins stock from the ERP and supply data from the business's
database, and works out what to order by an order-up-to level. A planner decides on every proposal: nothing goes out
alone. Runs after each night of the forecasts.

**Safe to re-run**: a finished date that runs again uses the rows that it had. Another date than the last cannot be run,
since stock is known as it is now only.

**Owner**: supply-chain. **If it fails**: docs/runbooks/erp_reorder.md.
"""

from airflow.sdk import DAG

from include.use_cases.erp_demand_forecast.spec import SPEC as FORECAST
from include.use_cases.erp_reorder.spec import SPEC
from nightledger.nightly_dag import nightly_dag
from nightledger.tasks import written_by

dag: DAG = nightly_dag(SPEC, __doc__, schedule=[written_by(FORECAST)], tags=("erp", "reorder", "tier-2"))
