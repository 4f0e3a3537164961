"""Backbones, one family per file: images (B, C, H, W) in [0, 1] to features (B, `feature_dim`)."""
