"""Trainings through a graph head: labels go from a template to the mini-batch, gradients to both."""
