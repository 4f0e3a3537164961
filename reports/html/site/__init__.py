"""A folder of pages made of many runs: one with every board, one for each model."""
