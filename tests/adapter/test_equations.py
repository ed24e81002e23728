"""The adapter against the paper's equations, written out frame by frame."""

from types import SimpleNamespace

import pytest
import torch
from builders import random_adapter, random_features, relative_error, tiny_backbone

from hra_cli.adapter.adapter import at_rate_of
from hra_cli.adapter.controller import Controller
from hra_cli.adapter.head_kinds import HeadSizes
from hra_cli.adapter.heads import new_bank

TASKS = ["ann", "bob", "cho"]


class Literal:
    """h_l = ReLU(W x_l + u ⊙ h_{l-1} + b), h_0 = 0; o_l = head(h_l); x̂_l = x_l + o_l, with no batching at all.

    One object per forward pass. Utterance n is of task tasks[n]; its frames are its own, without padding.
    """

    def __init__(self, adapter, tasks):
        self.controller = adapter.controller.tensors()
        self.heads = [adapter.bank.tensors(adapter.tasks.index(task)) for task in tasks]
        self.states = [None] * len(tasks)  # per utterance: a list of h, one per frame
        self.downsampling = None

    def __call__(self, x, layer):
        adapted = x.clone()
        for n, head in enumerate(self.heads):
            length = int(layer.lens[n])
            before = self.carried(self.states[n], layer.downsampling, length)
            self.states[n] = []
            for t in range(length):
                h = self.next_state(x[t, n], before[t])
                self.states[n].append(h)
                adapted[t, n] = x[t, n] + self.output(head, h, layer.width)
        self.downsampling = layer.downsampling
        return adapted

    def next_state(self, x, before):
        weight, recurrent, bias = (self.controller[f"controller.{name}"] for name in ("weight", "recurrent", "bias"))
        leading = weight[:, : x.numel()]
        return torch.clamp(leading @ x + recurrent * before + bias, min=0)

    def output(self, head, h, width):
        if "head.weight" in head:
            out = head["head.weight"] @ h + head["head.bias"]
        else:
            inner = torch.clamp(head["head.in.weight"] @ h + head["head.in.bias"], min=0)
            out = head["head.out.weight"] @ inner + head["head.out.bias"]
        return out[:width]

    def carried(self, states, downsampling, length):
        """h of the layer before, at this layer's frame rate."""
        if states is None:
            return [torch.zeros_like(self.controller["controller.bias"])] * length
        if downsampling < self.downsampling:
            factor = self.downsampling // downsampling
            return [h for h in states for _ in range(factor)][:length]
        factor = downsampling // self.downsampling
        states = states + [states[-1]] * (-len(states) % factor)
        return [sum(states[i : i + factor]) / factor for i in range(0, len(states), factor)]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("head", ["linear", "ffn"])
def test_the_adapter_computes_the_papers_equations(head, causal):
    backbone = tiny_backbone(causal=causal)
    adapter = random_adapter(TASKS, backbone.width, head)
    tasks = ["cho", "ann", "bob", "ann", "cho"]
    features, lens = random_features([110, 9, 60, 33, 27])
    with torch.no_grad():
        out, out_lens = backbone.encode(features, lens, adapter.for_tasks(tasks))
        plain, _ = backbone.encode(features, lens)
        expected, _ = backbone.encode(features, lens, Literal(adapter, tasks))
        for n, length in enumerate(out_lens.tolist()):
            assert relative_error(out[n, :length], expected[n, :length]) < 1e-5
            assert relative_error(out[n, :length], plain[n, :length]) > 1e-2
            alone = features[n : n + 1, : lens[n]]
            expected_alone, _ = backbone.encode(alone, lens[n : n + 1], Literal(adapter, tasks[n : n + 1]))
            assert relative_error(out[n, :length], expected_alone[0]) < 1e-5


@pytest.mark.parametrize("head", ["linear", "ffn"])
def test_every_part_of_the_equations_has_its_effect(head):
    """Without it the test above could not see a missing term."""
    backbone = tiny_backbone()
    adapter = random_adapter(["ann"], backbone.width, head)
    features, lens = random_features([60])

    def encoded():
        with torch.no_grad():
            return backbone.encode(features, lens, adapter.for_tasks(["ann"]))[0]

    whole = encoded()
    for name, parameter in adapter.named_parameters():
        kept = parameter.detach().clone()
        parameter.data.zero_()
        assert relative_error(encoded(), whole) > 1e-3, name
        parameter.data.copy_(kept)
    assert torch.equal(encoded(), whole)


def test_a_new_pass_starts_from_no_state():
    backbone = tiny_backbone()
    adapter = random_adapter(TASKS, backbone.width)
    features, lens = random_features([60, 41])
    with torch.no_grad():
        first, _ = backbone.encode(features, lens, adapter.for_tasks(["ann", "bob"]))
        again, _ = backbone.encode(features, lens, adapter.for_tasks(["ann", "bob"]))
    assert torch.equal(first, again)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("width", "hidden", "inner"), [(512, 64, 16), (40, 12, 6)])
def test_parameter_counts(width, hidden, inner):
    assert count(Controller(width, hidden)) == hidden * width + 2 * hidden
    linear, ffn = new_bank("linear", 3, HeadSizes(width, hidden)), new_bank("ffn", 3, HeadSizes(width, hidden, inner))
    assert linear.parameters_per_task == width * hidden + width
    assert ffn.parameters_per_task == inner * hidden + inner + width * inner + width
    assert count(linear) == 3 * linear.parameters_per_task
    assert count(ffn) == 3 * ffn.parameters_per_task


def test_parameter_counts_of_the_design_page():
    assert count(Controller(512, 64)) == 32_896
    assert new_bank("linear", 1, HeadSizes(512, 64)).parameters_per_task == 33_280


def test_parameter_count_of_the_papers_128_speakers():
    assert count(Controller(1536, 64)) + count(new_bank("linear", 128, HeadSizes(1536, 64))) == 12_877_952


def test_an_untrained_controller():
    generator = torch.Generator().manual_seed(1)
    controller = Controller(400, 300, generator)
    assert controller.weight.std().item() == pytest.approx(400**-0.5, rel=0.02)
    assert 0 <= controller.recurrent.min().item() < 0.05
    assert 0.95 < controller.recurrent.max().item() <= 1
    assert torch.equal(controller.bias, torch.zeros(300))


def at_rates(*rates):
    """Carries two utterances' states, whose frame t is t, through layers of these rates; at the first rate they have
    13 and 6 frames. The second one's padding is rubbish."""
    lengths = torch.tensor([13, 6])
    state = torch.arange(13.0).view(-1, 1, 1).repeat(1, 2, 1)
    state[6:, 1] = -1000.0
    layers = [SimpleNamespace(downsampling=rate, lens=-(-lengths * rates[0] // rate)) for rate in rates]
    for source, target in zip(layers, layers[1:]):
        state = at_rate_of(state, source, target, int(target.lens[0]))
    return [state[:length, n, 0].tolist() for n, length in enumerate(layers[-1].lens.tolist())]


def test_state_at_the_same_rate_is_untouched():
    assert at_rates(2, 2) == [[float(t) for t in range(13)], [0, 1, 2, 3, 4, 5]]


def test_state_goes_down_by_averages_of_the_utterances_own_frames():
    assert at_rates(1, 2) == [[0.5, 2.5, 4.5, 6.5, 8.5, 10.5, 12], [0.5, 2.5, 4.5]]
    # 4, 5 and then 5 twice more
    assert at_rates(1, 4) == [[1.5, 5.5, 9.5, 12], [1.5, 4.75]]
    assert at_rates(1, 2, 4, 8) == [[3.5, 10.75], [3.0]]


def test_state_goes_up_by_repeating():
    first = [[t // 2 for t in range(26)], [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]]
    assert at_rates(2, 1) == first
    assert at_rates(4, 1) == [[t // 4 for t in range(52)], [t // 4 for t in range(24)]]


def test_state_through_all_stacks_of_a_zipformer():
    # rate 8: frames 3.5 and 10.75 (8.5, 10.5, 12, 12 in pairs: 9.5, 12); 3.0 (0.5, 2.5, 4.5, 4.5: 1.5, 4.5)
    assert at_rates(1, 2, 4, 8, 2, 1) == [[3.5] * 8 + [10.75] * 5, [3.0] * 6]


def test_state_between_rates_that_do_not_divide_each_other():
    # frames of rate 2 twice each, then in threes: 0 0 1 | 1 2 2 | 3 3 4 | 4 5 5 | …
    third = pytest.approx([1 / 3, 5 / 3, 10 / 3, 14 / 3])
    long, short = at_rates(2, 3)
    assert short == third
    assert long[:4] == third
    assert long[4:] == pytest.approx([19 / 3, 23 / 3, 28 / 3, 32 / 3, 12])
    # frames of rate 3 three times each, then in twos: 0 0 | 0 1 | 1 1 | 2 2 | …
    assert at_rates(3, 2)[1] == [0, 0.5, 1, 2, 2.5, 3, 4, 4.5, 5]
