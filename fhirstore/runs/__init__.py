"""Files that are written once and read many times: the file writer, and runs that become visible all at once.

`files`: writes one file of any size, with its size, hash and count of lines.
"""
