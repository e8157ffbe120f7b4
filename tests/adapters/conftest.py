"""The ledger's fixtures, which tests of the pages need beside Airflow's own server."""

from tests.core.conftest import ledger, ledger_template, ledger_urls, make_night, postgres  # noqa: F401
