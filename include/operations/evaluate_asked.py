"""What `evaluate` asks: which version and models, on which rows, held against what; for the command and the DAG."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from include.errors import ConfigurationError
from include.operations.evaluate_labels import Labels, read_labels
from include.operations.evaluate_prompt import Evaluated, evaluate_prompt, find_in_use, find_prompt
from include.settings import Settings
from include.spec.engines import output_of
from include.spec.names import folder_of
from include.spec.use_case import UseCase, load
from include.systems.connections import Connections

EVALS = "evals.jsonl"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asks for; what is left out is the spec's.

    `models` are asked side by side and judged by nobody; `model` is one that is asked instead of the spec's.
    """

    prompt: str | None = None
    against: str | None = None
    labels: Path | None = None
    models: tuple[str, ...] = ()
    model: str | None = None


def evaluate_asked(connections: Connections, settings: Settings, use_case: str, wanted: Wanted) -> Sequence[Evaluated]:
    """Ask, judge and record: one evaluation, or one for each of `models`.

    Raises ConfigurationError for what cannot be asked or read, and as `evaluate_prompt` does.
    """
    case = load(use_case)
    labels = labels_of(case, wanted.labels)
    prompt = find_prompt(case, wanted.prompt)
    if wanted.models and wanted.against:
        raise ConfigurationError("goes with neither --against nor --model", about="--models")
    against = None
    if wanted.against:
        against = find_prompt(case, wanted.against)
    elif not wanted.models:
        against = find_in_use(connections, case, prompt, wanted.model)
    judged, models = not wanted.models, wanted.models or (wanted.model,)
    return [
        evaluate_prompt(connections, settings, case, prompt, labels, model=model, against=against, judged=judged)
        for model in models
    ]


def labels_of(case: UseCase, file: Path | None) -> Labels:
    """The labelled rows of a file, by default those beside the spec."""
    fields = output_of(case.name).model_json_schema()["properties"]
    return read_labels(file or case.folder / EVALS, case.model_sees, list(fields))


def place_of(use_case: str, labels: str, settings: Settings) -> Path:
    """The file that a form names: beside the use case's spec, or in the folder of NIGHTLEDGER_LABELS.

    A form is filled by whoever may start the DAG, and a worker can read far more than that person: so it is a path
    within one of these folders, links followed. Raises ConfigurationError for any other.
    """
    folders = [folder_of(use_case), *([Path(settings.labels)] if settings.labels else [])]
    for folder in (one.resolve() for one in folders):
        with suppress(OSError, ValueError):  # a name that no file can have
            file = (folder / labels).resolve()
            if file.is_relative_to(folder) and file.is_file():
                return file
    where = "beside the spec" + (" or in the folder of NIGHTLEDGER_LABELS" if settings.labels else "")
    action = "Put it there, or name the folder of your labelled rows in NIGHTLEDGER_LABELS"
    raise ConfigurationError(f"there is no such file {where}", about="labels", action=action)
