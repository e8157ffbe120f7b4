"""The core's `Connections`, filled by Airflow's hooks, so that secrets come from where Airflow keeps them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from include.errors import ConfigurationError
from include.systems.connections import Connection, HttpEndpoint, ModelEndpoint, database_url, open_http, open_model

if TYPE_CHECKING:
    import paramiko


class AirflowConnections:
    """Opens systems with what Airflow keeps, by the code that the command line uses."""

    def get(self, conn_id: str) -> Connection:
        """The Airflow connection's fields; raises ConfigurationError if there is none of that id."""
        try:
            found: Any = BaseHook.get_connection(conn_id)
        except AirflowNotFoundException as error:
            raise ConfigurationError(
                "no such connection",
                system=conn_id,
                action=f"Create it under Admin > Connections, or set AIRFLOW_CONN_{conn_id.upper()}",
            ) from error
        return Connection(
            conn_id=conn_id,
            host=found.host or "",
            port=found.port,
            schema=found.schema or "",
            login=found.login or "",
            password=found.password or "",
            extra=found.extra_dejson,
        )

    def http(self, conn_id: str) -> HttpEndpoint:
        """A kept session, as the core makes it for every connection."""
        return open_http(self.get(conn_id))

    def sftp(self, conn_id: str) -> AbstractContextManager[paramiko.SFTPClient]:
        """One SFTP connection with the SFTP provider's fields; its hook would leave refused logins open."""
        from include.systems.sftp import open_sftp

        return open_sftp(self.get(conn_id))

    def model(self, conn_id: str) -> ModelEndpoint:
        """Key, base URL and settings, as the core reads them from every connection."""
        return open_model(self.get(conn_id))

    def database(self, conn_id: str) -> str | None:
        """SQLAlchemy URL for psycopg, or None if no such connection exists."""
        try:
            return database_url(self.get(conn_id))
        except ConfigurationError as error:
            if error.problem == "no such connection":
                return None
            raise
