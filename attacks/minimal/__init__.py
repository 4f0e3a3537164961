"""Attacks that search the smallest perturbation that changes the answer."""
