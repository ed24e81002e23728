"""Word error rates with their bootstrap intervals, and icefall's result files."""
