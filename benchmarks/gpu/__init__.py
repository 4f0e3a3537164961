"""`python -m benchmarks.gpu`: one script for a lent GPU.

Where it runs: `card`; what is measured: `attacks`, `steps`; in which order, and the report: `__main__`.
"""
