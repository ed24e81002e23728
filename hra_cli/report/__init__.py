"""What is known about a path: the facts that `hra info` shows, and an experiment or a comparison as one HTML page."""
