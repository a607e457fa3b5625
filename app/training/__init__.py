"""Training strategies, and the loop that carries them out."""
