"""What may be written, what a person must see, what is only recorded."""
