"""From audio to words: a recogniser with its heads, and batch decoding."""
