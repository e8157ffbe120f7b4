"""The pages of the night: a FastAPI app that Airflow's api-server mounts under `/nightledger`."""
