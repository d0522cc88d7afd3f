"""Bundles as HTTP carries them: the answer to a batch or transaction, the reads in it, the matches of a search."""
