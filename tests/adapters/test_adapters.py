"""The adapters: Airflow's context and connections in, Airflow's errors out."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
import requests

from include.errors import AccessDenied, ConfigurationError, SystemUnavailable
from include.models import Mode, ReInfer


@pytest.fixture(autouse=True)
def _airflow_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))


def context(**more: Any) -> Any:
    start = pendulum.datetime(2026, 11, 19, 2, tz="UTC")
    run = SimpleNamespace(dag_id="crm_lead_scoring", run_id="manual__1", run_type="manual", conf={})
    base = {"data_interval_start": start, "data_interval_end": start.add(days=1), "dag_run": run, "params": {}}
    base["dag"] = SimpleNamespace(params={"mode": "auto", "re_infer": "none", "limit": None})
    return {**base, **more}


def test_a_run_is_keyed_by_plain_times_and_its_dag_run() -> None:
    from nightledger.context import run_key

    key = run_key("crm_lead_scoring", context())
    assert str(key.interval) == "[2026-11-19 02:00, 2026-11-20 02:00) UTC"
    assert type(key.interval.start).__module__ == "datetime"
    assert key.external_ref == "crm_lead_scoring/manual__1"


def test_an_empty_interval_is_refused() -> None:
    from nightledger.context import run_key

    given = context()
    with pytest.raises(ConfigurationError, match="read nothing"):
        run_key("crm_lead_scoring", {**given, "data_interval_end": given["data_interval_start"]})


def test_the_forms_values_are_validated_again() -> None:
    from nightledger.context import run_options

    options = run_options("crm_lead_scoring", context(params={"mode": "auto", "re_infer": "failed", "limit": 5}))
    assert (options.mode, options.re_infer, options.limit) == (Mode.AUTO, ReInfer.FAILED, 5)
    with pytest.raises(ConfigurationError, match="params"):
        run_options("crm_lead_scoring", context(params={"mode": "everything"}))


def test_a_parameter_that_the_form_does_not_have_is_refused_with_the_closest_name() -> None:
    from nightledger.context import run_options

    given = context()
    for conf, said in (({"mdoe": "auto"}, "Did you mean 'mode'"), ({"xyz": 1}, "Known: limit, mode, re_infer")):
        given["dag_run"].conf = conf
        with pytest.raises(ConfigurationError, match=said):
            run_options("crm_lead_scoring", given)
    for conf in ({"limit": 5}, {}, None):
        given["dag_run"].conf = conf
        run_options("crm_lead_scoring", given)


def test_what_no_retry_can_help_fails_for_good_and_the_rest_is_retried() -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from nightledger.context import airflow_errors

    with pytest.raises(AirflowFailException, match="AccessDenied: crm: token expired"), airflow_errors():
        raise AccessDenied("token expired", system="crm")
    with pytest.raises(SystemUnavailable), airflow_errors():
        raise SystemUnavailable("503", system="crm")


def test_connections_come_from_airflow(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    from nightledger.hooks.connections import AirflowConnections

    crm = {"conn_type": "http", "schema": "http", "host": "127.0.0.1", "port": 8123, "password": "pat-secret-1"}
    model = {"conn_type": "openai", "host": "http://127.0.0.1:9/v1", "password": "sk-secret-2"}
    ledger = {"conn_type": "postgres", "host": "/run/pg", "schema": "nightledger", "login": "me", "password": "p w"}
    for name, value in {"CRM_DEFAULT": crm, "OPENAI_DEFAULT": model, "NIGHTLEDGER_DB": ledger}.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(value))
    connections = AirflowConnections()
    with caplog.at_level(logging.DEBUG):
        http = connections.open("http", "crm_default")
        endpoint = connections.open("model", "openai_default")
    assert http.base_url == "http://127.0.0.1:8123"
    sent = http.session.prepare_request(requests.Request("GET", http.base_url))
    assert sent.headers["Authorization"] == "Bearer pat-secret-1"
    assert str(endpoint.base_url).rstrip("/") == "http://127.0.0.1:9/v1"
    assert endpoint.api_key == "sk-secret-2"
    assert "secret" not in repr(endpoint)
    url = "postgresql+psycopg://me:p%20w@/nightledger?host=%2Frun%2Fpg"
    assert connections.find("database", "nightledger_db") == url
    assert "secret-" not in caplog.text


def test_a_missing_connection_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from nightledger.hooks.connections import AirflowConnections

    monkeypatch.delenv("AIRFLOW_CONN_CRM_DEFAULT", raising=False)
    with pytest.raises(ConfigurationError, match="AIRFLOW_CONN_CRM_DEFAULT"):
        AirflowConnections().open("http", "crm_default")
    assert AirflowConnections().find("database", "warehouse_nowhere") is None


def test_the_operator_shows_no_row_in_its_template_fields() -> None:
    from nightledger.operators.enrich import EnrichOperator

    assert EnrichOperator.template_fields == ("rows",)
    operator = EnrichOperator(task_id="enrich", use_case="crm_lead_scoring", rows={"run_id": "r"})
    assert operator.rows == {"run_id": "r"}


def test_the_form_of_the_quarantine_says_what_is_replayed_and_how() -> None:
    from include.commands.quarantine import read_selection
    from include.ledger.quarantine import Filter
    from nightledger.quarantine import form

    params = form()
    blank = read_selection({name: param.resolve() for name, param in params.items()})
    assert (blank.chosen, blank.read_anew, blank.release) == (Filter(), False, ())
    filled = {"numbers": [3, 4], "read_anew": True, "release": ["email_format"], "reason": "fine", "owner": "sales"}
    for name, value in filled.items():
        params[name].value = value
    chosen = read_selection({name: param.resolve() for name, param in params.items()})
    assert chosen.chosen == Filter(owner="sales", numbers=(3, 4))
    assert (chosen.read_anew, chosen.release, chosen.reason) == (True, ("email_format",), "fine")
