"""What `hra compare` does: every method on the same recogniser and data, side by side."""
