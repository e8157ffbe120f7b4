"""Endpoints that speak OpenAI's API: calls one by one, and batches."""
