"""What the stand-ins hold when they start: generated leads, messy on purpose, or a folder of CSVs."""
