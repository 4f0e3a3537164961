"""Forms in which results travel: submissions, cards, tables, published numbers of others. No torch here."""
