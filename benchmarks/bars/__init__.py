"""`python -m benchmarks bars`: the speeds this project wants to hold, each measured beside its rivals.

One thread, processor time, rivals in turn, medians of the pairwise ratios, the same images and networks. The
result is `benchmarks/RESULTS.md` and `benchmarks/results.csv`. Which works there are: `works`; how rivals are
timed: `race`; how the table is kept: `table`.
"""
