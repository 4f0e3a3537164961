"""Inference-time defenses, one method per file, and how a model behind one is attacked."""
