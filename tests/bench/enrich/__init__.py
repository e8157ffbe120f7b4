"""The enrichment benchmark: a fast endpoint, the clients that are compared, and the scenarios."""
