"""Attacks of other libraries behind our contract, as witnesses. No torch, no library at import."""
