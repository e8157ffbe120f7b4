"""Draft replies to the tickets that last night's triage sorted, for agents to read, change and send."""
