"""From a trained model to files that others run, and the proof that those files answer as the model does."""
