"""From a trained model to files that others run, and the check that those files answer as the model does."""
