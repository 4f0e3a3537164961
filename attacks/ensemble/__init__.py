"""Cascades of several attacks, each on the images that the ones before did not break."""
