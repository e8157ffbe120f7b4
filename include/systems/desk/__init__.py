"""Service desks that speak Zendesk's Support API v2."""
