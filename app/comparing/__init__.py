"""Comparison of runs on the test images that they share."""
