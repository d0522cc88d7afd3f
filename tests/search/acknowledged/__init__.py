"""Two servers on one bucket: what one acknowledges, the other finds at once; pages of one show one moment."""
