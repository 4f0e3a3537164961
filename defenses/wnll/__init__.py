"""Trainings of networks whose head is WNLL (Wang & Osher 2019, Algorithms 1 and 3)."""
