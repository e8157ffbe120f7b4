"""Write answers back, each write on record before it leaves and undoable from the record."""
