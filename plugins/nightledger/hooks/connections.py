"""The core's `Connections`, filled by Airflow's hooks, so that secrets come from where Airflow keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from include.connections import Connection, HttpEndpoint, ModelEndpoint, database_url, open_http, open_model
from include.errors import AccessDenied, ConfigurationError, SystemUnavailable

if TYPE_CHECKING:
    import paramiko


class AirflowConnections:
    """Opens systems by Airflow's connections; HTTP and models as the command line does, SFTP through SFTPHook."""

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

    @contextmanager
    def sftp(self, conn_id: str) -> Iterator[paramiko.SFTPClient]:
        """SFTPHook's one managed connection; the host key is checked."""
        import paramiko
        from airflow.providers.sftp.hooks.sftp import SFTPHook

        self.get(conn_id)
        try:
            managed = SFTPHook(ssh_conn_id=conn_id).get_managed_conn()
            client = managed.__enter__()
        except paramiko.AuthenticationException as error:
            action = "Renew the key or password of this connection"
            raise AccessDenied("login refused", system=conn_id, action=action) from error
        except paramiko.SSHException as error:
            action = "Compare the server's key with `host_key` in the connection's extra"
            reason = f"host key or handshake refused ({type(error).__name__})"
            raise ConfigurationError(reason, system=conn_id, action=action) from error
        except OSError as error:
            raise SystemUnavailable(f"cannot connect ({type(error).__name__})", system=conn_id) from error
        try:
            yield client
        finally:
            managed.__exit__(None, None, None)

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
