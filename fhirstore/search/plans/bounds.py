"""How many rows or resources make one way to an answer the quicker one."""

FEW = 2_000
"""Resources at the end of a chain, or that alternatives lead to, which are looked up at once."""
LEAST = 50
"""Resources at the end of a chain that are always looked up."""
REFERRING = 4
"""Resources that refer to another one by one parameter, or more."""
SORTED = 5_000
"""Rows that an access may have to drive a search that sorts what it finds."""
SORTED_SOON = 64
"""Rows of an access that are so few that sorting them takes less than walking them in order."""
CHEAP = 200
"""Rows of an access that are so few that others need not be counted."""
COUNTED = 50_000
"""Rows up to which the sizes of accesses are told apart."""
FIRST, DENSE = 500, 50
"""Of so many resources that come first, so many pass a test that is no rare one."""
MOST_DRIVES = 200
"""Accesses that drive together: SQLite takes 500 parts of a compound SELECT, and each may have two."""
