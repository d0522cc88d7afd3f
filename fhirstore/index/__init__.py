"""What the index holds about resources: the names of its entries, and which of them are dead."""
