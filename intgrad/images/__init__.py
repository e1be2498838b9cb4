"""Pictures on their way in: files and arrays as pixels 0..255."""
