"""How Graft is called and how it speaks: errors, events, and the console that shows them."""
