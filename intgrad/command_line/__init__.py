"""The command line: intgrad convert, info and explain."""
