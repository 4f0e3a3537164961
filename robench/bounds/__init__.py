"""Certified lower bounds of robustness: what no attack can break, image by image."""
