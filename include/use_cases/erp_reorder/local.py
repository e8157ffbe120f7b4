"""The rule that decides in the process what to order."""

from include.systems.exact.declared import Exact
from include.use_cases.erp_reorder.policy import propose

SEES = (
    *("product", "plant", "horizon", "confidence", "on_hand", "stock_safety"),
    *("supply_lead_days", "supply_pack", "supply_least", "supply_on_order"),
)
"""All that an order is worked out of."""
LOCAL = Exact(propose, version="v1", reads=SEES)
