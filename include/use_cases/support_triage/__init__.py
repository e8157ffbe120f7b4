"""Sort the tickets of the day by what they are about and how soon somebody must look at them."""
