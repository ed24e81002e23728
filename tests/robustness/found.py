"""Cases that once were faults: kind and seed. A mutator that is added to a kind moves few of its seeds, one that draws
otherwise moves its own; the tests of the reader itself hold each fault as a file made by hand."""

FOUND: tuple[tuple[str, int], ...] = (
    # Its code was run.
    ("pretrained.pt", 3),
    ("pretrained.pt", 7),
    ("legacy.pt", 3),
    ("head", 12),
    ("controller", 1),
    ("controller", 6),
    ("checkpoint", 0),
    ("checkpoint", 1),
    ("checkpoint", 2),
    ("model.safetensors", 12),
    ("config.yaml", 5),
    ("compare.yaml", 0),
    ("result.json", 0),
    ("test.json", 0),
    ("tasks.json", 2),
    ("data-test", 1),
    ("data-test", 2),
    ("data-test", 3),
    # Cut off, and taken for whole.
    ("audio.aiff", 8),
    ("audio.au", 0),
    ("audio.au", 3),
    ("audio.w64", 3),
    ("audio.wav-adpcm", 1),
    ("audio.wav-float", 3),
    ("audio.wav-ulaw", 5),
    ("audio.wavex", 7),
)
