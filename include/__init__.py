"""Nightledger's core: everything a night does, without Airflow."""

__version__ = "0.2.0"
