"""What reads e-invoices in the process; other documents are asked about."""

from include.systems.exact.declared import Exact
from include.use_cases.ap_invoices.einvoice import read_einvoice

LOCAL = Exact(function=read_einvoice, version="v1", reads=("einvoice",))
