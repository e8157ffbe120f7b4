"""What a night will ask, cost and take, before anything is paid."""
