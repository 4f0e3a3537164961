"""Files of weights: read without running code, matched with a network, written whole."""
