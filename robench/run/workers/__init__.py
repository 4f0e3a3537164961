"""Several processes share the work of one run folder: jobs, leases, workers, and who restarts them."""
