"""The per-image columns of a record: their meaning, in memory, and in a file. No torch here."""
