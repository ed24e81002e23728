"""Corpora to tasks, splits, features and batches, as lhotse's files; the tokenizer."""
