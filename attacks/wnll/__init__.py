"""Attacks that know graph heads, and the published evaluation of WNLL for study."""
