"""The core's `Connections`, filled by Airflow's hooks, so that secrets come from where Airflow keeps them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from include.connections import Connection, HttpEndpoint, ModelEndpoint, database_url
from include.errors import ConfigurationError
from include.sftp import open_sftp

if TYPE_CHECKING:
    import paramiko


class AirflowConnections:
    """Opens systems with what Airflow keeps: through HttpHook and OpenAIHook, and SFTP by the core's own code."""

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
        """HttpHook's session, kept for all calls; without a login the password is a bearer token."""
        from airflow.providers.http.hooks.http import HttpHook

        found = self.get(conn_id)
        hook = HttpHook(http_conn_id=conn_id)
        bearer = {} if found.login else {"Authorization": f"Bearer {found.password}"}
        session = hook.get_conn(headers=bearer)
        return HttpEndpoint(session, hook.base_url)

    def sftp(self, conn_id: str) -> AbstractContextManager[paramiko.SFTPClient]:
        """One SFTP connection with the SFTP provider's fields; its hook would leave refused logins open."""
        return open_sftp(self.get(conn_id))

    def model(self, conn_id: str) -> ModelEndpoint:
        """Key and base URL as OpenAIHook understands the connection."""
        from airflow.providers.openai.hooks.openai import OpenAIHook

        self.get(conn_id)
        client = OpenAIHook(conn_id=conn_id).get_conn()
        return ModelEndpoint(str(client.base_url), client.api_key)

    def database(self, conn_id: str) -> str | None:
        """SQLAlchemy URL for psycopg, or None if no such connection exists."""
        try:
            return database_url(self.get(conn_id))
        except ConfigurationError:
            return None
