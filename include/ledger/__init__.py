"""The ledger: what happened, in PostgreSQL, append-only where it matters."""
