"""Small recordings made by code, the cuts that refer to them, and a tokenizer for their texts."""

import numpy as np
import sentencepiece
import soundfile
from lhotse import Recording, SupervisionSegment

from hra_cli.data.byte_pieces import CHARACTER_OF_BYTE
from hra_cli.data.corpora.fsdd import DIGITS
from hra_cli.data.token_table import token_table


def write_wav(path, seconds=0.5, rate=8000, channels=1, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 0.1, (round(seconds * rate), channels))
    soundfile.write(path, noise, rate, subtype="PCM_16")
    return path


def make_cut(path, text="ONE TWO", speaker="ann", **custom):
    """A cut over all of an audio file, with one supervision that holds `custom`."""
    recording = Recording.from_file(path)
    cut = recording.to_cut()
    cut.supervisions = [
        SupervisionSegment(
            id=recording.id,
            recording_id=recording.id,
            start=0.0,
            duration=recording.duration,
            channel=cut.channel,
            text=text,
            speaker=speaker,
            custom=custom or None,
        )
    ]
    return cut


def digits_bpe(folder, vocab_size):
    """bpe.model in `folder`: a sentencepiece model that knows the characters of the ten digits' names, in capitals."""
    return _trained(folder / "bpe", list(DIGITS) * 5, vocab_size)


def train_bbpe(folder, texts, vocab_size):
    """bbpe.model in `folder`, as icefall's train_bbpe_model.py makes it: a sentencepiece model of the texts' bytes."""
    sentences = ["".join(CHARACTER_OF_BYTE[byte] for byte in text.encode()) for text in texts]
    return _trained(folder / "bbpe", sentences, vocab_size)


def _trained(prefix, sentences, vocab_size):
    """PREFIX.model, with the ids that icefall's recipes give to blank, <sos/eos> and <unk>."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_prefix=str(prefix),
        model_type="bpe",
        vocab_size=vocab_size,
        character_coverage=1.0,
        bos_id=-1,
        eos_id=-1,
        unk_id=2,
        user_defined_symbols=["<blk>", "<sos/eos>"],
        minloglevel=2,
    )
    return prefix.with_suffix(".model")


def digits_bbpe(folder, vocab_size):
    """bbpe.model in `folder`, of the ten digits' names."""
    return train_bbpe(folder, list(DIGITS) * 5, vocab_size)


def character_tokens(folder, vocab_size):
    """tokens.txt in `folder`, as icefall's prepare_char.py makes it: the letters of the digits' names, and others."""
    letters = dict.fromkeys("".join(DIGITS))
    others = (chr(code) for code in range(0x4E00, 0x9FFF))
    tokens = ["<blk>", "<sos/eos>", "<unk>", *letters, *others][:vocab_size]
    (folder / "tokens.txt").write_text(token_table(tokens), encoding="utf-8")
    return folder / "tokens.txt"
