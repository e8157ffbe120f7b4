"""What the pages show: queries on the ledger and the values they return; no Airflow, no HTML."""
