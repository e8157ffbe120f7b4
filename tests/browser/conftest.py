"""A real Chromium for pages; tests are skipped where there is none, except in CI, which installs it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

ALONE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
"""Nothing but this machine is found, whatever a page asks for."""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A running browser of the machine; no longer than a module, since its driver keeps an event loop running."""
    program = _find() or _install()
    if program is None:
        pytest.skip("no Chromium on this machine; install it: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", ALONE])
        yield browser
        browser.close()


def _find() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


def _install() -> str | None:
    """Chromium from the distribution, in CI only; there a test that does not run is a failure."""
    if os.environ.get("CI") != "true":
        return None
    apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120"]
    for step in (["update"], ["install", "--no-install-recommends", "chromium"]):
        done = subprocess.run([*apt, *step], capture_output=True, text=True, check=False)
    found = _find()
    if found is None:
        pytest.fail(f"no Chromium on this machine, and apt-get cannot install it: {done.stderr[-500:]}")
    return found
