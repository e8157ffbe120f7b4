"""Registers Nightledger with Airflow. Airflow runs this file in every component, so it imports nothing heavy."""

from airflow.plugins_manager import AirflowPlugin


class NightledgerPlugin(AirflowPlugin):
    """Names the package in Airflow's list of plugins; pages and timetables are added here."""

    name = "nightledger"
