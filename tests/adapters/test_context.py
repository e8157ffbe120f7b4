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
from include.spec.use_case import load

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


def manual_run(asked: str = "2026-11-22T01:59", **more: Any) -> SimpleNamespace:
    run_after = pendulum.parse(asked, tz="UTC")
    return SimpleNamespace(
        **{"dag_id": CASE, "run_id": "manual__1", "run_type": "manual", "run_after": run_after, "conf": None} | more
    )


def context(**more: Any) -> Any:
    start = pendulum.datetime(2026, 11, 19, 2, tz="UTC")
    run = manual_run(run_id="scheduled__1", run_type="scheduled")
    dag = SimpleNamespace(params={}, start_date=None)
    times = {"data_interval_start": start, "data_interval_end": start.add(days=1)}
    return {**times, "dag_run": run, "dag": dag, "params": {}} | more


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


@pytest.mark.parametrize("absent", [True, False])
@pytest.mark.parametrize(
    ("asked", "night"),
    [
        ("2026-11-22T01:59", "20261120T0200-20261121T0200"),
        ("2026-11-22T02:00", "20261121T0200-20261122T0200"),
        ("2026-11-22T23:00", "20261121T0200-20261122T0200"),
    ],
)
def test_a_trigger_without_interval_means_the_last_night_that_was_over(asked: str, night: str, absent: bool) -> None:
    from nightledger.context import run_key

    given = context(dag_run=manual_run(asked), data_interval_start=None, data_interval_end=None)
    if absent:
        del given["data_interval_start"], given["data_interval_end"]
    assert run_key(CASE, given).interval.slug == night


def asset_run(*nights: tuple[str, str] | None) -> Any:
    said = [SimpleNamespace(extra={"interval_start": n[0], "interval_end": n[1]} if n else None) for n in nights]
    run = manual_run("2026-11-22T09:00", run_id="asset_triggered__1", run_type="asset_triggered")
    none = {"data_interval_start": None, "data_interval_end": None}
    return context(dag_run=run, triggering_asset_events={"asset": said[:1], "other": said[1:]}, **none)


def test_a_run_that_another_nights_asset_started_is_for_that_night(caplog: pytest.LogCaptureFixture) -> None:
    from nightledger.context import night_of_event, run_key

    first, second = (f"2026-11-{day}T02:00:00+00:00" for day in (10, 11))
    key = run_key(CASE, asset_run((first, second)))
    assert key.interval.slug == "20261110T0200-20261111T0200"
    assert night_of_event(key.interval) == {"interval_start": first, "interval_end": second}
    assert not caplog.records
    both = run_key(CASE, asset_run((first, second), (second, "2026-11-12T02:00:00+00:00"), None))
    assert both.interval.slug == "20261111T0200-20261112T0200"
    assert "not run" in caplog.text


def test_an_asset_that_says_no_night_means_the_last_one() -> None:
    from nightledger.context import run_key

    assert run_key(CASE, asset_run(None)).interval.slug == "20261121T0200-20261122T0200"


def test_a_trigger_by_hand_may_name_another_night() -> None:
    from nightledger.context import run_key

    key = run_key(CASE, context(dag_run=manual_run(), params={"night": "2026-11-15"}))
    assert key.interval.slug == "20261115T0200-20261116T0200"


@pytest.mark.parametrize(
    ("night", "words"),
    [
        ("2026-11-21", "is not over yet.*from 2026-01-01 to 2026-11-20"),
        ("9999-12-31", "is not over yet"),
        ("2025-12-31", "lies before the first night, 2026-01-01"),
        ("tonight", "neither a date"),
    ],
)
def test_a_night_that_cannot_be_run_is_refused_with_those_that_can(night: str, words: str) -> None:
    from nightledger.context import run_key

    with pytest.raises(ConfigurationError, match=words):
        run_key(CASE, context(dag_run=manual_run(), params={"night": night}))


def test_the_first_night_is_the_dags_own() -> None:
    from nightledger.context import run_key

    later = SimpleNamespace(start_date=pendulum.datetime(2026, 11, 18, tz="UTC"))
    with pytest.raises(ConfigurationError, match="first night, 2026-11-18"):
        run_key(CASE, context(dag_run=manual_run(), params={"night": "2026-11-17"}, dag=later))


@pytest.mark.parametrize("kind", ["scheduled", "backfill"])
def test_nights_of_the_schedule_or_a_backfill_cannot_all_be_one(kind: str) -> None:
    from nightledger.context import run_key

    with pytest.raises(ConfigurationError, match="Leave `night` out"):
        run_key(CASE, context(dag_run=manual_run(run_type=kind), params={"night": "2026-11-15"}))


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

    other = manual_run()
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
    assert offered["mode"] == [None, *(mode.value for mode in Mode)]
    assert offered["re_infer"] == [choice.value for choice in ReInfer]
