"""The pruned transducer loss."""

import json
import sys

import pytest
import torch
from builders import random_features, refused, relative_error, tiny_backbone
from safetensors.torch import load_file

from hra_cli.backbone.model import load_backbone
from hra_cli.backbone.options import BackboneOptions
from hra_cli.transducer import joiner_scores
from hra_cli.transducer.loss import FUNCTIONS, check_loss, check_rnnt_type, fits, pruned_loss
from hra_cli.transducer.names import LOSSES, RNNT_TYPES

TOKENS = [[3, 7, 7, 21, 4, 9, 12, 29, 1, 5], [8, 2, 11], [25, 26, 3, 3, 3, 14], [17]]
FEATURE_LENS = [140, 60, 95, 31]


@pytest.fixture(params=LOSSES)
def library(request):
    """Every test that takes it holds for our own loss and for k2's."""
    if request.param == "k2":
        pytest.importorskip("k2", reason="k2 is not installed")
    return request.param


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone()


@pytest.fixture(scope="module")
def encoded(backbone):
    with torch.no_grad():
        return backbone.encode(*random_features(FEATURE_LENS))


@pytest.mark.parametrize(
    ("name", "streaming"),
    [
        ("zipformer-tiny", {}),
        ("zipformer-tiny-causal", {"chunk_size": 16, "left_context_frames": 32}),
        ("zipformer-tiny-ctc", {}),
    ],
)
def test_losses_and_gradient_equal_icefall(shared, name, streaming, library):
    folder = shared / "fixtures" / name
    backbone = load_backbone(folder, BackboneOptions(device="cpu", **streaming))
    expected = load_file(folder / "expected.safetensors")
    tokens = json.loads((folder / "expected.json").read_text())["y"]
    out, lens = backbone.encode(expected["features"], expected["feature_lens"], icefall_padding=True)
    out = out.detach().requires_grad_()
    loss = pruned_loss(backbone, out, lens, tokens, library=library).sum()
    assert relative_error(loss.simple, expected["simple_loss"]) < 1e-5
    assert relative_error(loss.pruned, expected["pruned_loss"]) < 1e-5
    assert loss.total.item() == pytest.approx(0.5 * loss.simple.item() + loss.pruned.item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(loss.total, out)
    assert relative_error(gradient, expected["grad_encoder_out"]) < 1e-5


@pytest.mark.parametrize("rnnt_type", RNNT_TYPES)
def test_a_batchs_loss_is_the_sum_of_its_utterances(backbone, encoded, rnnt_type, library):
    out, lens = encoded
    together = pruned_loss(backbone, out, lens, TOKENS, rnnt_type, library).sum()
    alone = [
        pruned_loss(backbone, out[n : n + 1, : lens[n]], lens[n : n + 1], TOKENS[n : n + 1], rnnt_type, library).sum()
        for n in range(len(TOKENS))
    ]
    for part in ("simple", "pruned", "total"):
        assert getattr(together, part).item() == pytest.approx(
            sum(getattr(loss, part).item() for loss in alone), rel=1e-5
        )
    assert len({round(loss.total.item(), 2) for loss in alone}) == len(alone)


def test_a_part_of_a_batch_that_lacks_its_longest_transcript(backbone, library):
    """As a process has one in joint training. Now and then a window of k2's depends on that transcript's length."""
    generator = torch.Generator().manual_seed(3)
    lengths, frames = [14] + [10] * 60, torch.full((61,), 40)
    # The encoder's output hardly changes in four frames, as in speech, so that tokens may come early as well as late.
    out = 2 * torch.randn(61, 10, backbone.width, generator=generator).repeat_interleave(4, dim=1)
    tokens = [torch.randint(1, 30, (length,), generator=generator).tolist() for length in lengths]
    part = out[1:], frames[1:], tokens[1:], "modified", library
    with torch.no_grad():
        of_whole = pruned_loss(backbone, out, frames, tokens, "modified", library).pruned[1:]
        as_part = pruned_loss(backbone, *part, longest=14).pruned
        by_itself = pruned_loss(backbone, *part).pruned
    assert torch.allclose(as_part, of_whole, rtol=1e-5)
    assert not torch.allclose(by_itself, of_whole, rtol=1e-3), "no window was another one, so nothing is tested"


def test_the_types_give_different_finite_losses(backbone, encoded):
    totals = [pruned_loss(backbone, *encoded, TOKENS, rnnt_type).sum().total for rnnt_type in RNNT_TYPES]
    assert all(bool(total.isfinite()) and total > 0 for total in totals)
    regular, modified, constrained = (total.item() for total in totals)
    assert abs(regular - modified) > 1
    assert abs(modified - constrained) > 1
    assert abs(regular - constrained) > 1


def test_what_lies_past_an_utterances_end_has_no_part(backbone, encoded, library):
    out, lens = encoded
    disturbed = out.clone().requires_grad_()
    with torch.no_grad():
        for n, length in enumerate(lens.tolist()):
            disturbed[n, length:] = 5.0
    loss = pruned_loss(backbone, disturbed, lens, TOKENS, library=library).sum()
    assert loss.total.item() == pytest.approx(
        pruned_loss(backbone, out, lens, TOKENS, library=library).sum().total.item(), rel=1e-6
    )
    (gradient,) = torch.autograd.grad(loss.total, disturbed)
    for n, length in enumerate(lens.tolist()):
        assert float(gradient[n, :length].abs().min(dim=0)[0].max()) > 0
        assert float(gradient[n, length:].abs().sum()) == 0


@pytest.mark.parametrize("rnnt_type", RNNT_TYPES)
def test_the_gradient_is_the_slope(rnnt_type, library):
    """Central differences of the total along one random direction, in float64."""
    backbone = tiny_backbone().double()
    generator = torch.Generator().manual_seed(2)
    out = torch.randn(2, 14, backbone.width, generator=generator, dtype=torch.float64).requires_grad_()
    direction = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    lens = torch.tensor([14, 9])

    def total(x):
        return pruned_loss(backbone, x, lens, TOKENS[1:3], rnnt_type, library).sum().total

    (gradient,) = torch.autograd.grad(total(out), out)
    step = 1e-5
    with torch.no_grad():
        slope = (total(out + step * direction) - total(out - step * direction)) / (2 * step)
    assert abs(slope.item()) > 0.1
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=1e-5)


def test_an_unknown_type_is_refused():
    for rnnt_type in RNNT_TYPES:
        check_rnnt_type(rnnt_type)
    with refused("no such --rnnt-type: 'modifed'; did you mean 'modified'?"):
        check_rnnt_type("modifed")


@pytest.mark.parametrize("rnnt_type", RNNT_TYPES)
def test_as_many_tokens_as_frames_just_fit(backbone, rnnt_type, library):
    tokens = [list(range(1, 9))]
    out = torch.randn(1, 8, backbone.width, generator=torch.Generator().manual_seed(3))
    assert fits(8, 8)
    assert not fits(7, 8)
    assert not fits(0, 0)
    loss = pruned_loss(backbone, out, torch.tensor([8]), tokens, rnnt_type, library).sum()
    assert bool(loss.total.isfinite())


def test_an_utterance_without_tokens(backbone, encoded, library):
    """Beside another one: its loss is that of blank on every frame."""
    out, lens = encoded
    both = pruned_loss(backbone, out[:2], lens[:2], [TOKENS[0], []], library=library).sum()
    first = pruned_loss(backbone, out[:1], lens[:1], TOKENS[:1], library=library).sum()
    logits = backbone.joiner(out[1, : lens[1]], backbone.decoder(torch.tensor([[0]]))[0])
    expected = -logits.log_softmax(dim=-1)[:, 0].sum().item()
    assert (both.pruned - first.pruned).item() == pytest.approx(expected, rel=1e-4)


UTTERANCES = {
    "speech": ([60, 31, 44, 7], [20, 3, 11, 5]),
    "one has no tokens": ([12, 9], [4, 0]),
    "a single frame": ([1, 1], [1, 0]),
    "fewer tokens than the pruning range": ([20, 5], [3, 2]),
    "as many tokens as frames": ([9, 6], [9, 6]),
}


@pytest.mark.parametrize("rnnt_type", RNNT_TYPES)
@pytest.mark.parametrize("name", UTTERANCES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-9)])
def test_our_own_loss_is_k2s_in_value_and_in_every_gradient(name, rnnt_type, dtype, tolerance):
    """Gradients of what training a head needs, and of what full fine-tuning needs beside it."""
    pytest.importorskip("k2", reason="k2 is not installed")
    backbone = tiny_backbone().to(dtype)
    frames, lengths = UTTERANCES[name]
    generator = torch.Generator().manual_seed(4)
    out = torch.randn(len(frames), max(frames), backbone.width, generator=generator).to(dtype)
    tokens = [torch.randint(1, 30, (n,), generator=generator).tolist() for n in lengths]
    transducer = [p for name, p in backbone.named_parameters() if not name.startswith("encoder")]
    wanted = [out, *transducer]
    for tensor in wanted:
        tensor.requires_grad_()
    found = []
    for library in ("k2", "hra"):
        loss = pruned_loss(backbone, out, torch.tensor(frames), tokens, rnnt_type, library)
        gradients = [
            torch.autograd.grad(part.sum(), wanted, retain_graph=True, allow_unused=True)
            for part in (loss.simple, loss.pruned)
        ]
        found.append([loss.simple, loss.pruned, *(g for grads in gradients for g in grads if g is not None)])
    assert len(found[0]) == len(found[1]) > 12
    for theirs, ours in zip(*found):
        assert relative_error(ours, theirs) < tolerance


@pytest.mark.parametrize("rnnt_type", ["regular", "modified"])
def test_where_rounding_decides_in_k2_our_own_loss_in_float32_is_k2s_in_float64(rnnt_type):
    """A recogniser that is sure has many windows that hold nearly everything, among which k2 takes any in float32."""
    pytest.importorskip("k2", reason="k2 is not installed")
    generator = torch.Generator().manual_seed(0)
    out = 8 * torch.randn(40, 16, tiny_backbone().width, generator=generator).repeat_interleave(4, dim=1)
    tokens = [torch.randint(1, 30, (14,), generator=generator).tolist() for _ in range(40)]

    def pruned(library, dtype):
        with torch.no_grad():
            args = tiny_backbone().to(dtype), out.to(dtype), torch.full((40,), 64), tokens, rnnt_type, library
            return pruned_loss(*args).pruned.double()

    exact = pruned("k2", torch.float64)
    assert torch.allclose(pruned("hra", torch.float32), exact, rtol=1e-6)
    assert not torch.allclose(pruned("k2", torch.float32), exact, rtol=1e-3), "rounding decides nothing here"


def test_a_batch_without_any_token_is_blank_on_every_frame(backbone, encoded):
    out, lens = encoded
    loss = pruned_loss(backbone, out[:2], lens[:2], [[], []])
    for n in range(2):
        logits = backbone.joiner(out[n, : lens[n]], backbone.decoder(torch.tensor([[0]]))[0])
        assert loss.pruned[n].item() == pytest.approx(-logits.log_softmax(dim=-1)[:, 0].sum().item(), rel=1e-5)


def test_chunks_of_the_joiner_do_not_show(backbone, encoded, monkeypatch):
    out, lens = encoded
    found = []
    for size in (joiner_scores.CHUNK_LOGITS["cpu"], 1):
        monkeypatch.setitem(joiner_scores.CHUNK_LOGITS, "cpu", size)
        x = out.clone().requires_grad_()
        loss = pruned_loss(backbone, x, lens, TOKENS).sum().total
        found.append((loss, *torch.autograd.grad(loss, x)))
    for whole, chunked in zip(*found):
        assert relative_error(chunked, whole) < 1e-6


def test_without_k2_our_own_loss_goes_on_and_k2s_says_what_to_install(backbone, encoded, monkeypatch):
    monkeypatch.setitem(sys.modules, "k2", None)
    assert bool(pruned_loss(backbone, *encoded, TOKENS).sum().total.isfinite())
    with refused(r"k2 cannot be imported with torch .*requirements/k2\.txt"):
        pruned_loss(backbone, *encoded, TOKENS, library="k2")


def test_every_loss_that_is_named_is_there():
    assert list(FUNCTIONS) == list(LOSSES)


def test_an_unknown_loss_is_refused():
    for library in LOSSES:
        check_loss(library)
    with refused("no such --loss: 'k3'; did you mean 'k2'?"):
        check_loss("k3")
