"""Training defenses, one method per file, and the loop, schedule and resumable state they share."""
