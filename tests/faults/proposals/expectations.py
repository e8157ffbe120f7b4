"""Nothing is expected of rows beyond their types."""

EXPECTATIONS = ()
