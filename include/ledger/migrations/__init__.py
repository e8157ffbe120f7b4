"""Alembic migrations of the ledger: one Python file and one SQL file per step, never edited once released."""
