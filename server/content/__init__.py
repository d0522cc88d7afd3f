"""Bodies, both ways: which form the client wants and sends, and how it is packed for the wire."""
