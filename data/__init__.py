"""From a SOURCE to batches of tensors."""
