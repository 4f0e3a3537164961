"""Results in the layouts of others: Hugging Face, OWASP's AI Exchange draft, Parquet."""
