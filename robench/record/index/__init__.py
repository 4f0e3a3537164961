"""The index of a run folder: what boards need of all records, in one file that can always be made again."""
