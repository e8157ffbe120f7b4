"""Ask the model: plan, limit, call, parse, and keep every inference on record."""
