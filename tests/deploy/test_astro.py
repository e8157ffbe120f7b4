"""The Deployment file says only what the astro CLI reads, and holds no secret."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from fsspec.registry import known_implementations
from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = Draft202012Validator(json.loads(Path(__file__).with_name("astro.schema.json").read_text(encoding="utf-8")))


@pytest.fixture
def deployment() -> Any:
    return yaml.safe_load((ROOT / "astro.yaml").read_text(encoding="utf-8"))


def test_the_file_fits_the_schema(deployment: Any) -> None:
    assert [error.message for error in SCHEMA.iter_errors(deployment)] == []


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        ("configuration", "runtime_verison", "3.3-2"),
        ("configuration", "executor", "LocalExecutor"),
        ("configuration", "deployment_type", "DEDICATED"),
        ("configuration", "executor", "KubernetesExecutor"),
    ],
)
def test_a_mistake_is_found(deployment: Any, where: str, key: str, value: str) -> None:
    wrong = copy.deepcopy(deployment)
    wrong["deployment"][where][key] = value
    assert list(SCHEMA.iter_errors(wrong))


def test_a_secret_with_a_value_is_found(deployment: Any) -> None:
    deployment["deployment"]["environment_variables"].append({"is_secret": True, "key": "KEY", "value": "sk-live"})
    assert list(SCHEMA.iter_errors(deployment))


def test_the_image_is_of_the_same_runtime(deployment: Any) -> None:
    image = re.search(r"runtime:([\w.-]+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert image is not None
    assert image[1] == deployment["deployment"]["configuration"]["runtime_version"]


def test_the_image_has_the_client_of_the_declared_staging_place(deployment: Any) -> None:
    variables = {one["key"]: one["value"] for one in deployment["deployment"]["environment_variables"]}
    protocol = variables["NIGHTLEDGER_STAGING"].partition("://")[0]
    client = known_implementations[protocol]["class"].partition(".")[0]
    image, ignored = (ROOT / "Dockerfile").read_text(encoding="utf-8"), (ROOT / ".dockerignore").read_text()
    lines = [line for line in image.splitlines() if line.startswith("RUN pip install ")]
    files = {"requirements.txt", *(name for line in lines for name in re.findall(r"-r (\S+)", line))}
    installed = {name for file in files for name in re.findall(r"(?m)^([\w-]+)==", (ROOT / file).read_text())}
    assert client in installed
    assert not files & set(ignored.split()), "and what is installed from is in the image"


def test_every_variable_is_explained_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    names = {v["key"] for v in yaml.safe_load((ROOT / "astro.yaml").read_text())["deployment"]["environment_variables"]}
    assert {name for name in names if name.startswith(("NIGHTLEDGER", "AIRFLOW_CONN"))} <= set(
        re.findall(r"\w+", example)
    )


def test_every_setting_that_the_code_reads_is_explained_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "include").rglob("*.py"))
    read = set(re.findall(r'"(NIGHTLEDGER_[A-Z_]+)"', code)) - {"NIGHTLEDGER_FORBID_MODEL_CALLS"}
    assert read
    assert read <= set(re.findall(r"\w+", example))
