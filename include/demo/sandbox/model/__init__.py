"""A stand-in for a model endpoint: speaks OpenAI chat completions and answers by a rule."""
