"""Short notes on accounts with activity, from what belongs to them in the CRM and the ERP."""
