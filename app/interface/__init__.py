"""The interface to callers: errors, events, and the console that shows them."""
