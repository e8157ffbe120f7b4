"""First rules, from what a file or a night holds."""
