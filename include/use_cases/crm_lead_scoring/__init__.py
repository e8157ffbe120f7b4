"""Score the leads that changed last night and write the score back."""
