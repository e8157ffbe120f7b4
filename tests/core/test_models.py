"""Intervals and run options refuse what would read nothing or do something unasked."""

from typing import Any

import pytest

from include.errors import ConfigurationError
from include.models import Interval, Manifest, Mode, ReInfer, RunOptions


def test_an_empty_interval_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigurationError, match="read nothing"):
        Interval.parse("2026-11-20", "2026-11-20")


def test_an_interval_without_zone_is_read_as_utc() -> None:
    assert Interval.parse("2026-11-20T02:00", "2026-11-21T02:00").slug == "20261120T0200-20261121T0200"


def test_options_default_to_the_specs_mode() -> None:
    assert RunOptions.from_params({}, Mode.GATED) == RunOptions(mode=Mode.GATED, follows=True)


@pytest.mark.parametrize("params", [{"mode": "yolo"}, {"limit": 0}, {"limit": "ten"}, {"re_infer": "yes"}])
def test_a_wrong_option_is_named(params: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="params"):
        RunOptions.from_params(params, Mode.SHADOW)


def test_options_survive_json() -> None:
    options = RunOptions.from_params({"mode": "auto", "limit": "5", "re_infer": "failed"}, Mode.SHADOW)
    assert options == RunOptions(Mode.AUTO, 5, ReInfer.FAILED)


def test_a_manifest_survives_xcom() -> None:
    manifest = Manifest("r", "raw", "file:///x", 3, 10, "ab", {"a": "string"}, {"pages": 1})
    assert Manifest.from_json(manifest.to_json()) == manifest
