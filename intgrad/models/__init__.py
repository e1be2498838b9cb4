"""Models: what they are, how they come in, and what is tried of them before they are trusted."""
