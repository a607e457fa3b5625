"""Audits by a network's features: labels that are probably wrong and outliers; and the page about an audit."""
