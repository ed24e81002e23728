"""The front end's output on disk."""

import pytest
import torch
from builders import random_features, refused, tiny_backbone

from hra_cli.backbone.frontend_cache import FrontendCache

LENS = [160, 150, 61, 9]
IDS = ["a", "b/with a slash", "c", "d"]


def test_what_is_cached_is_what_is_computed(tmp_path):
    backbone = tiny_backbone()
    features, lens = random_features(LENS)
    expected, _ = backbone.embed(features, lens)
    cache = FrontendCache(tmp_path, backbone)
    for _ in range(2):
        x, rows = cache.embed(features, lens, IDS)
        assert torch.equal(x, expected)
    # found by its id, whatever else is in the batch
    x, rows = cache.embed(torch.zeros_like(features[:2]), lens[:2].flip(0), ["b/with a slash", "a"])
    assert torch.equal(rows.to_batch(x)[:, 1], backbone.embed_one(features[0]))


@pytest.mark.parametrize("others", [[], [300], [61, 61, 61], [300, 9, 62, 158]])
def test_an_utterance_is_embedded_the_same_in_every_batch(others):
    backbone = tiny_backbone()
    alone, _ = backbone.embed(*random_features([61]))
    x, rows = backbone.embed(*random_features([61, *others]))
    assert torch.equal(rows.to_batch(x)[: len(alone), 0], alone)


def test_another_recogniser_finds_nothing_of_this_one(tmp_path):
    features, lens = random_features(LENS)
    FrontendCache(tmp_path, tiny_backbone()).embed(features, lens, IDS)
    other = tiny_backbone(seed=1)
    assert torch.equal(FrontendCache(tmp_path, other).embed(features, lens, IDS)[0], other.embed(features, lens)[0])


def test_files_that_are_not_whole_are_computed_again(tmp_path):
    backbone = tiny_backbone()
    features, lens = random_features([61])
    cache = FrontendCache(tmp_path, backbone)
    expected, _ = cache.embed(features, lens, ["a"])
    (file,) = tmp_path.rglob("*.f32")
    whole = file.read_bytes()
    flipped = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(0, len(whole), 40)]
    for content in (b"", whole[:3], whole[:-4], whole + bytes(4), *flipped):
        file.write_bytes(content)
        assert torch.equal(cache.embed(features, lens, ["a"])[0], expected)
        assert file.read_bytes() == whole


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    features, lens = random_features(LENS)
    with refused("cannot write .*without --cache-frontend"):
        FrontendCache(tmp_path / "file", tiny_backbone()).embed(features, lens, IDS)
