"""Strategies and the loop that carries them out."""
