"""The embedded default: PostgreSQL, sandbox systems and Airflow on one machine, for `make night` and `make up`."""
