"""Find what is wrong with a set of images from its files, pixels and labels; `app.auditing` also uses a network."""
