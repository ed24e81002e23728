"""The experiment folder as files: what training writes, and recognition and reports read."""
