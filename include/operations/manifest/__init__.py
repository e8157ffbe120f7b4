"""The page of a use case, made from its declarations: what goes in and out, who answers, what holds it, its risks."""
