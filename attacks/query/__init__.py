"""Attacks that need scores or labels only, and noise as their control."""
