"""Hold staged data against expectations before a model sees it."""
