"""Networks, output heads, checkpoints and data sets, found by the kernel through entry points."""
