"""A badge: one number of one run as a small SVG, with its interval, threat, n and doubts."""
