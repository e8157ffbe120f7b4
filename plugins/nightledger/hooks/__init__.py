"""Connections of the core, filled by Airflow's hooks."""
