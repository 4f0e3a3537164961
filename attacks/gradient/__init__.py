"""Attacks that climb a loss inside the ball by its gradient: FGSM and its heirs."""
