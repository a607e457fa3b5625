"""Prediction with any model file, and the interpretation of its outputs."""
