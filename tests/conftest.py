"""The order of tests: those that start whole stacks first, so that no worker is left with a long one at the end."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stacks, then histories with faults, then everything else; the order within a file stays."""
    items.sort(key=lambda item: (item.get_closest_marker("e2e") is None, "faults" not in item.path.parts))
