"""A file held against rules, with a verdict and a page."""
