"""Export of a trained model to files, and verification that each file agrees with the model."""
