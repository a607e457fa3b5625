"""The error of this package that a user can fix: the command line shows its text alone and exits with 2."""


class ModelError(ValueError):
    """A backbone, head, weights file or image size that cannot be used. The text says what was found and how to fix it."""
