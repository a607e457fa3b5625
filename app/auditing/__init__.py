"""What a network's features tell about pictures, labels that are probably wrong and outliers; and the page about an audit."""
