"""Airflow's context in, the core's values out; the core's verdict decides whether Airflow retries."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest

import include.errors
from include.errors import ConfigurationError, NightledgerError
from include.models import Mode, ReInfer
from include.use_case import load

CASE = "crm_lead_scoring"
ERRORS = [
    error
    for error in vars(include.errors).values()
    if isinstance(error, type) and issubclass(error, NightledgerError) and error is not NightledgerError
]


@pytest.fixture(autouse=True)
def _airflow_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever imports Airflow first leaves its files in a folder of the test."""
    for name in [name for name in os.environ if name.startswith("AIRFLOW__")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))


def context(**more: Any) -> Any:
    start = pendulum.datetime(2026, 11, 19, 2, tz="UTC")
    run = SimpleNamespace(dag_id=CASE, run_id="scheduled__1")
    return {"data_interval_start": start, "data_interval_end": start.add(days=1), "dag_run": run, "params": {}} | more


@pytest.mark.parametrize("error", [e for e in ERRORS if e.verdict == "give up"])
def test_what_no_retry_can_help_fails_for_good(error: type[NightledgerError]) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from nightledger.context import airflow_errors

    with pytest.raises(AirflowFailException) as caught, airflow_errors():
        raise error("is wrong", system="crm", action="Do this")
    assert str(caught.value) == f"{error.__name__}: crm: is wrong. Do this"
    assert isinstance(caught.value.__cause__, error)


@pytest.mark.parametrize("error", [e for e in ERRORS if e.verdict == "retry"])
def test_what_may_pass_is_left_to_airflows_retries(error: type[NightledgerError]) -> None:
    from nightledger.context import airflow_errors

    with pytest.raises(error) as caught, airflow_errors():
        raise error("503", system="crm")
    assert type(caught.value) is error


def test_an_error_nobody_foresaw_is_left_to_airflows_retries() -> None:
    from nightledger.context import airflow_errors

    with pytest.raises(ZeroDivisionError), airflow_errors():
        _ = 1 / 0


def test_both_verdicts_exist() -> None:
    assert {error.verdict for error in ERRORS} == {"give up", "retry"}


@pytest.mark.parametrize("missing", ["data_interval_start", "data_interval_end"])
@pytest.mark.parametrize("absent", [True, False])
def test_a_run_without_data_interval_says_how_to_schedule_it(missing: str, absent: bool) -> None:
    from nightledger.context import run_key

    given = context(**{missing: None})
    if absent:
        del given[missing]
    with pytest.raises(ConfigurationError, match="CronDataIntervalTimetable"):
        run_key(CASE, given)


def test_pendulums_times_become_plain_ones_in_utc() -> None:
    from nightledger.context import run_key

    start = pendulum.datetime(2026, 11, 19, 3, tz="Europe/Berlin")
    key = run_key(CASE, context(data_interval_start=start, data_interval_end=start.add(days=1)))
    assert (type(key.interval.start), type(key.interval.end)) == (datetime, datetime)
    assert key.interval.start == datetime(2026, 11, 19, 2, tzinfo=UTC)
    assert key.interval.start.tzinfo is UTC
    assert type(key.interval.end - key.interval.start) is timedelta
    assert key.interval.slug == "20261119T0200-20261120T0200"


def test_a_run_is_told_from_another_of_the_same_interval() -> None:
    from nightledger.context import run_key

    other = SimpleNamespace(dag_id=CASE, run_id="manual__1")
    refs = {run_key(CASE, context()).external_ref, run_key(CASE, context(dag_run=other)).external_ref}
    assert refs == {f"{CASE}/scheduled__1", f"{CASE}/manual__1"}


def test_options_left_out_are_the_specs() -> None:
    from nightledger.context import run_options

    options = run_options(CASE, context())
    assert (options.mode, options.limit, options.re_infer) == (load(CASE).mode, None, ReInfer.NONE)
    assert (options.model, options.re_extract) == (None, False)


def test_options_given_are_taken() -> None:
    from nightledger.context import run_options

    params = {"mode": "gated", "limit": "7", "re_infer": "all", "model": "sandbox-large", "re_extract": True}
    options = run_options(CASE, context(params=params))
    assert (options.mode, options.limit, options.re_infer) == (Mode.GATED, 7, ReInfer.ALL)
    assert (options.model, options.re_extract) == ("sandbox-large", True)


@pytest.mark.parametrize(
    "params", [{"mode": "everything"}, {"limit": 0}, {"limit": -1}, {"limit": "many"}, {"limit": []}, {"re_infer": 1}]
)
def test_options_sent_past_the_form_are_refused(params: dict[str, Any]) -> None:
    from nightledger.context import run_options

    with pytest.raises(ConfigurationError, match="params"):
        run_options(CASE, context(params=params))


def test_the_form_offers_what_the_core_accepts() -> None:
    from nightledger.nightly import form

    offered = {name: param.serialize()["schema"].get("enum") for name, param in form(load(CASE)).items()}
    assert offered["mode"] == [mode.value for mode in Mode]
    assert offered["re_infer"] == [choice.value for choice in ReInfer]
