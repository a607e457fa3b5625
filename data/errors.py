"""The error for problems that the user can fix: the command line prints its message alone and exits with status 2."""


class DataError(ValueError):
    """Images, labels or a split cannot be used. The message says what was found and how to fix it."""


class UnreadableExample(ValueError):  # noqa: N818 - it names the thing
    """The bytes of an example cannot be used; the text says why in a few words."""
