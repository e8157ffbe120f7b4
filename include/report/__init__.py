"""The end of a night: the proof that its counts add up, and the morning report."""
