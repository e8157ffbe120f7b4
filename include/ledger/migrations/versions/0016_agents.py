"""Agents: steps that ask for tools, and what tools have read."""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Apply what lies beside this file."""
    statements = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    driver: Any = op.get_bind().connection  # the driver itself: SQLAlchemy would read % as a parameter
    driver.execute("SET LOCAL search_path = nightledger")
    driver.execute(statements)


def downgrade() -> None:
    """Refuse: an audit is not something to roll back."""
    raise RuntimeError("the ledger has no downgrade; restore a backup into a new database instead")
