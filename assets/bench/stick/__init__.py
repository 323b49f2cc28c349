"""Sampan beside its peers: the same work on the same data, in turn, every result compared."""
