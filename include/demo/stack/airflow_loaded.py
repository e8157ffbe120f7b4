"""`airflow` with libraries loaded that tasks need: LocalExecutor forks the scheduler, and its forks have them already.

Loading them anew in every task is up to half of what a small night costs. Nothing of Nightledger itself is loaded here:
a change of its code counts from the next task on.
"""

from __future__ import annotations

import sys
from importlib import import_module

LIBRARIES = ("great_expectations", "openai", "pandas", "pyarrow.parquet")


def main() -> None:
    """Load the libraries, then do what `airflow` does with these arguments."""
    for name in LIBRARIES:
        import_module(name)
    sys.argv[0] = "airflow"
    import_module("airflow.__main__").main()


if __name__ == "__main__":
    main()
