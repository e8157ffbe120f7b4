"""Long texts: pieces with their place, and those that a question is about."""
