"""The name of Graft's own threads, which print nothing."""

THREAD_NAME = (
    "graft"  # how their names begin: `app.interface.console.redirection` tells them from threads of other code
)
