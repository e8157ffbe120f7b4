"""One module per page: read what was asked, look it up, show it."""
