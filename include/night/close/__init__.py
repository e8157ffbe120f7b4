"""Every row accounted for, the run closed and sealed."""
