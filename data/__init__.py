"""Data: from a SOURCE to batches of tensors."""
