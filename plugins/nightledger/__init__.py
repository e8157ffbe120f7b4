"""Nightledger's adapters to Airflow; what a night does is in `include`."""
