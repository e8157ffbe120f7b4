"""The core's `Connections`, filled by Airflow's hooks, so that secrets come from where Airflow keeps them."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from include.errors import ConfigurationError
from include.systems.connections import NO_CONNECTION, Connections, StoredConnection


class AirflowConnections(Connections):
    """Opens systems with what Airflow keeps, by the code that the command line uses."""

    def get(self, conn_id: str) -> StoredConnection:
        """The Airflow connection's fields; raises ConfigurationError if there is none of that id."""
        try:
            found: Any = BaseHook.get_connection(conn_id)
        except AirflowNotFoundException as error:
            raise ConfigurationError(
                NO_CONNECTION,
                system=conn_id,
                action=f"Create it under Admin > Connections, or set AIRFLOW_CONN_{conn_id.upper()}",
            ) from error
        return StoredConnection(
            conn_id=conn_id,
            host=found.host or "",
            port=found.port,
            schema=found.schema or "",
            login=found.login or "",
            password=found.password or "",
            extra=found.extra_dejson,
        )
