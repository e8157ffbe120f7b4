"""Programs of the distribution that tests need: installed in CI, where a test that does not run is a failure."""

from __future__ import annotations

import os
import shutil
import subprocess


def find_program(name: str, package: str) -> str | None:
    """Where a program is; in CI it is installed where it is missing. None where there is none."""
    found = _find(name)
    if found is None and os.environ.get("CI") == "true" and os.getuid() == 0:
        apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120"]
        for step in (["update"], ["install", "--no-install-recommends", package]):
            subprocess.run([*apt, *step], capture_output=True, check=False)
        found = _find(name)
    return found


def _find(name: str) -> str | None:
    return shutil.which(name) or shutil.which(f"/usr/sbin/{name}")
