"""From criteria to statements on the local index: conditions, what leads to their matches, and orders."""
