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
    from airflow.__main__ import main as airflow

    sys.argv[0] = "airflow"
    airflow()


if __name__ == "__main__":
    main()
