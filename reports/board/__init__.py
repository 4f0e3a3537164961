"""Records to boards: shares, intervals, findings and ranks as frozen plain data. No torch here."""
