"""What calls somebody: counted from the ledger, told once."""
