"""What is wrong with a set of images, as far as its files, pixels and labels tell; `app.auditing` asks a network, too."""
