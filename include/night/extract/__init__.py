"""Bring rows in: pages of a CRM, dropped files, and the stage that joins them into one staged dataset."""
