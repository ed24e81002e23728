"""What can be told of a path: the facts that `hra info` shows, and an experiment or a comparison as one HTML page."""
