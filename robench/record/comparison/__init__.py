"""Two runs side by side: their verdicts image by image, their attackers, their bits. No torch here."""
