"""Attacks that need only scores or labels, and noise as their control."""
