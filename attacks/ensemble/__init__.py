"""Cascades of several attacks, each on the images that earlier attacks did not break."""
