"""What the supply chain is known by: the lock files, and the bill of materials that is computed from them."""
