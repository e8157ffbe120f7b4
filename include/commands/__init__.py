"""Sub-commands of `python -m include.cli`, one module each."""
