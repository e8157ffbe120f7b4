"""Tables of relational databases."""
