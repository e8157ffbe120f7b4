"""What the stand-ins hold when they start: generated leads, messy on purpose, or what a user's folder has."""
