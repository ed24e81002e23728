"""The corpora that `hra prepare` knows: one module each, with a function that makes a `Corpus`."""
