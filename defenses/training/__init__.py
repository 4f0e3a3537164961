"""The loop that every training defense shares: options, epochs, state, validation, several processes."""
