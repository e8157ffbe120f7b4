"""The environment of the stack's processes: Airflow's settings and the connections of the sandbox.

Whatever the user has set already, in the environment or in `.env`, wins.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.demo.stack.home import Home
from include.demo.stack.postgres import Server
from include.settings import ROOT

PREFIX = "AIRFLOW_CONN_"
SANDBOX_CONNECTIONS = ("CRM_DEFAULT", "SFTP_DEFAULT", "OPENAI_DEFAULT")
_DROPPED = ("PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "PYTHONHOME")


def read_environment(root: Path = ROOT) -> dict[str, str]:
    """The process's environment over the project's `.env` file, without leftovers of another Airflow."""
    found: dict[str, str] = {}
    file = root / ".env"
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            name, separator, value = line.strip().partition("=")
            if separator and not name.startswith("#"):
                found[name.strip()] = value.strip().strip("'\"")
    foreign = {name for name in os.environ if name.startswith("AIRFLOW__") or name in (*_DROPPED, "AIRFLOW_HOME")}
    return found | {name: value for name, value in os.environ.items() if name not in foreign}


def airflow_settings(
    home: Home,
    server: Server,
    secrets: Mapping[str, str],
    port: int,
    parallelism: int,
    dags: str = "",
    users: str = "",
) -> dict[str, str]:
    """Airflow's configuration for one small machine; `dags` is another folder of DAG files than the project's.

    `users` are logins beside `admin`, as Airflow's simple auth manager reads them: `ann:viewer,bob:op`.
    """
    database = server.url("airflow", "airflow", secrets["airflow"])
    sections = {
        "CORE": {
            "DAGS_FOLDER": dags or str(ROOT / "dags"),
            "PLUGINS_FOLDER": str(ROOT / "plugins"),
            "LOAD_EXAMPLES": "False",
            "EXECUTOR": "LocalExecutor",
            "PARALLELISM": str(parallelism),
            "FERNET_KEY": secrets["fernet"],
            "EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "SIMPLE_AUTH_MANAGER_USERS": ",".join(filter(None, ["admin:admin", users])),
            "SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home.password_file),
        },
        "DATABASE": {"SQL_ALCHEMY_CONN": database, "SQL_ALCHEMY_CONN_ASYNC": database},
        "API": {
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "BASE_URL": f"http://127.0.0.1:{port}",
            "SECRET_KEY": secrets["api"],
        },
        "API_AUTH": {"JWT_SECRET": secrets["jwt"]},
        "LOGGING": {
            "FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": "0o700",
            "FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": "0o600",
        },
        "SCHEDULER": {"TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30", "TASK_INSTANCE_HEARTBEAT_SEC": "5"},
        "DAG_PROCESSOR": {"REFRESH_INTERVAL": "30", "MIN_FILE_PROCESS_INTERVAL": "120", "PRINT_STATS_INTERVAL": "0"},
        "USAGE_DATA_COLLECTION": {"ENABLED": "False"},
    }
    return {f"AIRFLOW__{section}__{key}": value for section, keys in sections.items() for key, value in keys.items()}


def children_environment(
    home: Home, given: Mapping[str, str], airflow: Mapping[str, str], secrets: Mapping[str, str]
) -> dict[str, str]:
    """What every process of the stack sees."""
    direct = ",".join(filter(None, ["127.0.0.1,localhost", given.get("NO_PROXY") or given.get("no_proxy")]))
    ours = {
        "AIRFLOW_HOME": str(home.airflow),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{given.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": direct,
        "no_proxy": direct,
        "GX_ANALYTICS_ENABLED": "false",
        "NIGHTLEDGER_HOME": str(home.folder),
    }
    defaults = {"NIGHTLEDGER_TOKEN_SECRET": secrets["token"], "NIGHTLEDGER_GIT_SHA": git_sha()}
    return {**defaults, **given, **airflow, **ours}


def ledger_connections(server: Server, secrets: Mapping[str, str], suffix: str) -> dict[str, str]:
    """Connections to the embedded databases of one data set."""
    return {
        f"{PREFIX}NIGHTLEDGER_DB": _postgres(server, f"nightledger{suffix}", "nightledger_service", secrets),
        f"{PREFIX}NIGHTLEDGER_DB_OWNER": _postgres(server, f"nightledger{suffix}", "nightledger_owner", secrets),
        f"{PREFIX}WAREHOUSE_DEFAULT": _postgres(server, f"warehouse{suffix}", "warehouse_service", secrets),
    }


def sandbox_connections(endpoints: Mapping[str, Any]) -> dict[str, str]:
    """Connections to the stand-in systems, from what the sandbox wrote when it was ready."""
    host, _, port = endpoints["crm_url"].rpartition("://")[2].partition(":")
    crm = {"conn_type": "http", "schema": "http", "host": host, "port": int(port), "password": endpoints["crm_token"]}
    sftp = {
        "conn_type": "sftp",
        "host": endpoints["sftp_host"],
        "port": int(endpoints["sftp_port"]),
        "login": endpoints["sftp_login"],
        "extra": {"key_file": endpoints["sftp_key_file"], "host_key": endpoints["sftp_host_key"]},
    }
    base = endpoints["model_url"].rstrip("/")
    model_url = base if base.endswith("/v1") else f"{base}/v1"
    model = {"conn_type": "openai", "host": model_url, "password": endpoints["model_key"]}
    made = dict(zip(SANDBOX_CONNECTIONS, (crm, sftp, model), strict=True))
    if "erp_url" in endpoints:
        login = {"login": endpoints["erp_login"], "password": endpoints["erp_password"]}
        made["ERP_DEFAULT"] = {"conn_type": "http", "host": endpoints["erp_url"], **login}
    if "shop_database" in endpoints:
        extra = {"sqlalchemy_scheme": "sqlite"}
        made["SHOP_DEFAULT"] = {"conn_type": "sqlite", "host": endpoints["shop_database"], "extra": extra}
    if "webhook_url" in endpoints:
        signing = {"signing_secret": endpoints["webhook_secret"]}
        made["ONCALL_DEFAULT"] = {"conn_type": "http", "host": endpoints["webhook_url"], "extra": signing}
    if "desk_url" in endpoints:
        login = {"login": endpoints["desk_login"], "password": endpoints["desk_token"]}
        made["DESK_DEFAULT"] = {"conn_type": "http", "host": endpoints["desk_url"], **login}
    return {f"{PREFIX}{name}": json.dumps(value) for name, value in made.items()}


def fingerprint(environment: Mapping[str, str]) -> str:
    """What a process was started with, to tell whether its settings or connections have changed since."""
    chosen = sorted(item for item in environment.items() if item[0].startswith(("AIRFLOW", "NIGHTLEDGER_")))
    return hashlib.sha256(json.dumps(chosen).encode()).hexdigest()[:16]


def git_sha() -> str:
    """The commit of the code that runs, or nothing outside a checkout."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _postgres(server: Server, database: str, role: str, secrets: Mapping[str, str]) -> str:
    value = {
        "conn_type": "postgres",
        "host": server.socket,
        "schema": database,
        "login": role,
        "password": secrets[role],
    }
    return json.dumps(value)
