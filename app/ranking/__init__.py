"""Ranking of backbones: how well their features fit the labels, and how large and fast their models are."""
