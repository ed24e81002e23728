"""Batches without padding."""

import pytest
import torch
from builders import tiny_backbone

from hra_cli.backbone.rows import one_block, rows_of

CPU = torch.device("cpu")
LENS = [40, 200, 196, 7, 38, 90]


def batch(lens, width=3):
    """(T, N, C), zero past the utterances' ends."""
    x = torch.zeros(max(lens), len(lens), width)
    for n, length in enumerate(lens):
        x[:length, n] = torch.randn(length, width, generator=torch.Generator().manual_seed(n))
    return x


def test_utterances_of_similar_length_are_together():
    rows = rows_of(LENS, CPU)
    assert [block.utterances for block in rows.blocks] == [[1, 2], [5], [0, 4], [3]]
    assert [block.frames for block in rows.blocks] == [200, 90, 40, 7]
    assert [block.padded is None for block in rows.blocks] == [False, True, False, True]
    assert rows.frames == 200


def test_blocks_are_small_enough_for_the_cache():
    rows = rows_of([500] * 5, CPU)
    assert [block.utterances for block in rows.blocks] == [[0, 1], [2, 3], [4]]


def test_equal_lengths_stay_as_they_are():
    rows = rows_of([50] * 3, CPU)
    assert [block.utterances for block in rows.blocks] == [[0, 1, 2]]
    assert rows.padded is None


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("blocks", [rows_of, lambda lens, device: one_block(lens, 200, device)])
def test_rows_and_batches(blocks, factor):
    rows = blocks(LENS, CPU).at_rate(factor)
    lens = [-(-length // factor) for length in LENS]
    assert rows.lens.tolist() == rows.lengths == lens
    assert [block.lens.tolist() for block in rows.blocks] == [block.lengths for block in rows.blocks]
    x = batch(lens).requires_grad_()
    as_rows = rows.from_batch(x)
    assert torch.equal(rows.to_batch(as_rows), x)
    assert torch.equal(rows.join(rows.split(as_rows)), as_rows)
    for block, piece in zip(rows.blocks, rows.split(as_rows)):
        assert torch.equal(piece, x[: block.frames, block.utterances].transpose(0, 1))
    weighting = torch.randn(x.shape, generator=torch.Generator().manual_seed(9))
    (grad,) = torch.autograd.grad((rows.to_batch(as_rows * 2) * weighting).sum(), x)
    for n, length in enumerate(lens):
        assert torch.equal(grad[:length, n], 2 * weighting[:length, n])


def test_padding_of_rows():
    rows = rows_of(LENS, CPU)
    own = rows.from_batch(batch(LENS).abs() + 1.0).masked_fill(rows.padded, 0.0)
    assert (rows.to_batch(own)[:, :, 0] > 0.0).sum(dim=0).tolist() == LENS
    assert int((~rows.padded).sum()) == sum(LENS)


def test_blocks_change_no_result():
    backbone = tiny_backbone()
    lens = torch.tensor([400, 100, 390, 60])
    features = torch.randn(4, 400, 80, generator=torch.Generator().manual_seed(0)) - 4.0
    out, out_lens = backbone.encode(features, lens)
    expected, _ = backbone.copy(in_blocks=False).encode(features, lens)
    assert out.shape == expected.shape
    for n, length in enumerate(out_lens.tolist()):
        assert torch.allclose(out[n, :length], expected[n, :length], atol=1e-5, rtol=1e-5)
