"""What a network's features tell about images, labels that are probably wrong and outliers; and the page about an audit."""
