"""Model cards: one Markdown page per model of a run, from records and the cards of trained weights."""
