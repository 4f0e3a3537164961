"""Numbers computed from verdicts: intervals, tests, curves, draws of random models. No torch here."""
