"""From any model file to predictions, and what they mean."""
