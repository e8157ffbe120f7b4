"""One folder per use case; each holds declarations only."""
