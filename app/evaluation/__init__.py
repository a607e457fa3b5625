"""Metrics, plots and the report of a trained model."""
