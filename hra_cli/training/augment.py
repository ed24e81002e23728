"""SpecAugment whose masks depend on a seed and the utterance alone: not on what was drawn before, nor on the batch."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence

import numpy
import torch
from lhotse.dataset import SpecAugment
from torch import Tensor

SHARE = 0.9  # of the utterances that are masked and warped


class Augment:
    """lhotse's SpecAugment, applied to each utterance without its padding.

    Masks are narrower and fewer than in icefall's recipes, which train millions of parameters on hundreds of hours:
    theirs hide up to two thirds of the bins, and an adapter on minutes of speech does not get past them
    (docs/notes/2026-11-fsdd.md).
    """

    def __init__(self) -> None:
        self.transform = SpecAugment(
            time_warp_factor=80,
            num_feature_masks=1,
            features_mask_size=10,
            num_frame_masks=4,
            frames_mask_size=10,
            max_frames_mask_fraction=0.1,
            p=1.0,  # what `random` draws decides nothing: other threads, such as Dask's, draw from it, too
        )

    def __call__(self, features: Tensor, lens: Tensor, ids: Sequence[str], seed: int) -> Tensor:
        """Masked and warped copies of features (N, T, 80), of which the first lens (N,) frames are no padding.

        ids: of the N utterances.
        """
        features = features.clone()
        for utterance, length, name in zip(features, lens.tolist(), ids):
            drawn = random.Random(f"{seed} {name}").getrandbits(32)
            if random.Random(drawn).random() <= SHARE:
                with _seeded(drawn):
                    utterance[:length] = self.transform(utterance[None, :length])[0]
        return features


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds the global generators that lhotse draws from, by 32 bits, and puts their state back at the end."""
    state = numpy.random.get_state()
    with torch.random.fork_rng(devices=[]):
        numpy.random.seed(seed)
        torch.manual_seed(seed)
        yield
    numpy.random.set_state(state)
