"""What is an image's own: decoding, resizing, augmentation."""
