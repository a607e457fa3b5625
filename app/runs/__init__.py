"""A run on disk: its folder, what is in it, and how it shows itself."""
