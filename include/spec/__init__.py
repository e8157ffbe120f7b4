"""What a use case may declare, and by which name it is found."""
