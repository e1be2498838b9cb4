"""Models of torch: imported where one is loaded or saved, and torch itself within functions."""
