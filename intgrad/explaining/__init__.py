"""Photographs in, attributions out: the work of `intgrad explain`, whoever hands it out."""
