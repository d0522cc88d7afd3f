"""The identity index of the bucket: the names of its entries, and which entries are dead."""
