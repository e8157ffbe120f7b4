"""What a person starts: replays, plans of backfills, checks of files, assessments."""
