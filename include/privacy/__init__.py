"""Personal values in what a model is shown: found, replaced by tokens, put back; and which data may go where."""
