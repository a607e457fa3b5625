"""The training job: one run, or one for each fold, from a source to a finished folder."""
