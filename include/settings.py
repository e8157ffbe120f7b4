"""Settings, read from the environment when called and never at import."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from include.errors import ConfigurationError

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a deployment may tune without touching code.

    `staging` is a folder or fsspec URL for Parquet and reports; `chunk_rows` bounds the rows held in memory at once;
    `concurrency` is the number of model calls in flight per task at most; `lease_seconds` is how long a process that is
    not heard of keeps what it holds; `outage_seconds` is how long rows wait for a
    model that is down before they end as the failure plan says; `token_secret` keys the tokens that replace
    personal values in quarantine and dead letters; `truth_file` (JSON, row key -> label) is what became of the rows, if
    known, and is only ever read by the report; `head_file` is where the ledger's head is kept after each run: a file,
    or a place on an object store; `labels` is a folder of labelled rows that forms may name files of, beside those of
    the use cases; `retention_file` says how long what nights leave is kept.
    """

    staging: str
    systems_file: Path
    chunk_rows: int
    concurrency: int
    outage_seconds: float
    token_secret: str
    git_sha: str
    truth_file: str
    lease_seconds: float = 60.0
    head_file: str = ""
    labels: str = ""
    retention_file: Path = ROOT / "include" / "retention.toml"

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read `NIGHTLEDGER_*` variables; raises ConfigurationError naming the variable that is wrong."""
        env = os.environ if environment is None else environment
        home = Path(env.get("NIGHTLEDGER_HOME") or ROOT / ".nightledger")
        return cls(
            staging=env.get("NIGHTLEDGER_STAGING") or str(home / "staging"),
            systems_file=Path(env.get("NIGHTLEDGER_SYSTEMS") or ROOT / "include" / "systems.toml"),
            chunk_rows=_positive(env, "NIGHTLEDGER_CHUNK_ROWS", 10_000),
            concurrency=_positive(env, "NIGHTLEDGER_CONCURRENCY", 64),
            outage_seconds=float(_positive(env, "NIGHTLEDGER_OUTAGE_SECONDS", 120)),
            token_secret=env.get("NIGHTLEDGER_TOKEN_SECRET", ""),
            git_sha=env.get("NIGHTLEDGER_GIT_SHA", ""),
            truth_file=env.get("NIGHTLEDGER_TRUTH", ""),
            lease_seconds=float(_positive(env, "NIGHTLEDGER_LEASE_SECONDS", 60)),
            head_file=env.get("NIGHTLEDGER_HEAD_FILE", ""),
            labels=env.get("NIGHTLEDGER_LABELS", ""),
            retention_file=Path(env.get("NIGHTLEDGER_RETENTION") or ROOT / "include" / "retention.toml"),
        )


def read_truth(settings: Settings) -> dict[str, str] | None:
    """What became of the rows, by row key, or None when no such file is set or there."""
    path = Path(settings.truth_file)
    if not settings.truth_file or not path.exists():
        return None
    truth: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return truth


def _positive(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdigit() or int(text) < 1:
        raise ConfigurationError("must be a whole number of at least 1", about=name)
    return int(text)
