"""Every method on the same recogniser and data, side by side: what `hra compare` does."""
