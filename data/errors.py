"""The error of this package that a user can mend: the command line shows its text alone and exits with 2."""


class DataError(ValueError):
    """Images, labels or a split that cannot be used. The text says what was found and how to mend it."""
