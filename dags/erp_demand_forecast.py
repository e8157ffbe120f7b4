"""
### Forecast demand by product and plant, and propose quantities to the ERP

Reads the weeks of demand that the ERP (OData) and a plant's own database (SQL) know at the end of the night's interval,
groups them into one history for each product and plant, forecasts the good ones in the process, and writes a proposal
for each of the next six weeks back to the ERP, only over what nobody else has changed meanwhile. Nobody is asked and
nothing is paid; what cannot be forecast gets a proposal by rule that a person confirms.

**Safe to re-run**: everything is keyed by use case, interval and row. A finished date that runs again writes nothing.

**Owner**: supply-chain. **If it fails**: docs/runbooks/erp_demand_forecast.md. The report is written in every case;
task `close` logs where.
"""

from airflow.sdk import DAG

from include.use_cases.erp_demand_forecast.spec import SPEC
from nightledger.nightly_dag import nightly_dag

dag: DAG = nightly_dag(SPEC, __doc__, tags=("erp", "forecast", "tier-2"))
