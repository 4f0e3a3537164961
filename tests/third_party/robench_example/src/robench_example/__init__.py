"""An attack, a training defense, a model and a data set for robench, as anybody may add them."""
