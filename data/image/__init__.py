"""Images: decoding, resizing and augmentation."""
