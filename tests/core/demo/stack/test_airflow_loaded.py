"""The scheduler of the embedded stack has loaded what its forks need, and nothing that may change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from include.demo.stack.airflow_loaded import LIBRARIES
from include.settings import ROOT

PROGRAM = """
import json, sys
from include.demo.stack.airflow_loaded import main
sys.argv = ["this", "version"]
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)))
"""


def test_it_is_airflow_with_libraries_and_no_code_of_ours(tmp_path: Path) -> None:
    given = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=tmp_path, env=given, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    *said, modules = done.stdout.splitlines()
    assert said == [version("apache-airflow")]
    loaded = set(json.loads(modules))
    assert set(LIBRARIES) <= loaded
    ours = {name for name in loaded if name.split(".")[0] in ("include", "nightledger", "dags")}
    assert ours == {"include", "include.demo", "include.demo.stack", "include.demo.stack.airflow_loaded"}
