"""What holds for every method that `hra compare` knows, and each method against its own equation."""

import copy

import pytest
import torch
import torch.nn.functional as F
from builders import random_adapter, random_features, refused, relative_error, tiny_backbone
from torch import nn

from hra_cli.adapter.adapter import new_adapter
from hra_cli.adapter.controller import Controller
from hra_cli.adapter.head_kinds import HeadSizes
from hra_cli.adapter.heads import new_bank
from hra_cli.baselines.ablations import LayerwiseAdapter, controller_per_layer, without_recurrence
from hra_cli.baselines.build import between_layers, new_method
from hra_cli.baselines.lora import LowRank
from hra_cli.baselines.methods import TOGETHER, Method, kinds, parse_method
from hra_cli.io.tensors import fingerprint

TASKS = ["ann", "bob", "cho"]
SIZE = 12
PER_TASK = [name for name, kind in kinds().items() if kind.per_task]  # the others have one model for all
HOOKED = ["bitfit", "lora", "lora-together"]  # what they add goes through another kernel than what was there
# What is not trained: u where there is no recurrence, and u of the first layer, which has no layer before it.
WITHOUT_GRADIENT = {"hra-no-recurrence": "controller.recurrent", "hra-controller-per-layer": "controllers.0.recurrent"}
# Channels of the layers of builders.tiny_sizes, and what the parts of a layer with so many have.
WIDTHS = [24, 40, 40, 32, 24]
WIDEST = max(WIDTHS)
HEADS = {24: 2, 40: 4, 32: 2}
QUERY, VALUE, POSITION = 6, 5, 4


@pytest.fixture(
    scope="module",
    params=[{}, {"causal": True}, {"causal": True, "chunk_size": 8, "left_context_frames": 16}],
    ids=["plain", "causal", "streaming"],
)
def any_backbone(request):
    return tiny_backbone(**request.param)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "causal"])
def backbone(request):
    return tiny_backbone(causal=request.param)


@pytest.fixture(scope="module")
def plain():
    return tiny_backbone()


def method(name):
    return Method(name, None if kinds()[name].size is None else SIZE)


def untrained(name, backbone, seed=0):
    return new_method(method(name), backbone, TASKS, seed)


def as_if_trained(name, backbone, seed=0):
    """No parameter is as it began, except what the method does not train."""
    own, adapter = untrained(name, backbone)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter.parameters():
            if parameter.requires_grad and kinds()[name].per_task:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
            elif parameter.requires_grad:
                parameter.mul_(1.0 + 0.1 * torch.randn(parameter.shape, generator=generator))
    return own, adapter


def encoded(backbone, adapter, lens, tasks):
    features, feature_lens = random_features(lens)
    out, _ = backbone.encode(features, feature_lens, None if adapter is None else adapter.for_tasks(tasks))
    return out


def tensors_of(backbone):
    return {name: tensor.clone() for name, tensor in backbone.state_dict().items()}


def assert_same_bits(backbone, before):
    after = backbone.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


@pytest.mark.parametrize("name", kinds())
def test_an_untrained_method_changes_nothing(any_backbone, name):
    own, adapter = untrained(name, any_backbone)
    lens, tasks = [60, 45, 33], ["cho", "ann", "ann"]
    frozen = encoded(any_backbone, None, lens, tasks)
    out = encoded(own, adapter, lens, tasks)
    if name in HOOKED:
        assert torch.allclose(out, frozen, rtol=1e-5, atol=1e-5)
    else:
        assert torch.equal(out, frozen)
    changed = encoded(*as_if_trained(name, any_backbone), lens, tasks)
    assert (relative_error(changed, frozen) > 1e-2) == (name != "full-transducer"), "which is after the encoder"


@pytest.mark.parametrize("name", kinds())
def test_training_a_method_leaves_the_given_recogniser_as_it_was(backbone, name):
    lens, tasks = [45, 33], ["ann", "bob"]
    before, out_before = tensors_of(backbone), encoded(backbone, None, lens, tasks)
    own, adapter = as_if_trained(name, backbone)
    given = {name: tensor.clone() for name, tensor in adapter.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in adapter.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    out = encoded(own, adapter, lens, tasks)
    if name == "full-transducer":
        out = own.joiner.encoder_proj(out)
    out.square().sum().backward()
    optimizer.step()

    assert any(not torch.equal(tensor, given[key]) for key, tensor in adapter.state_dict().items())
    assert_same_bits(backbone, before)
    assert all(p.grad is None and not p.requires_grad for p in backbone.parameters())
    assert torch.equal(encoded(backbone, None, lens, tasks), out_before)
    if name in HOOKED:
        assert own is not backbone, "hooks would change what the frozen recogniser does"
        assert_same_bits(own, before)


@pytest.mark.parametrize("name", PER_TASK)
def test_gradients_reach_what_the_method_trains_and_nothing_of_the_recogniser(backbone, name):
    own, adapter = as_if_trained(name, backbone)
    encoded(own, adapter, [45, 33], ["cho", "ann"]).square().sum().backward()
    assert all(p.grad is None and not p.requires_grad for p in own.parameters())
    for key, parameter in adapter.named_parameters():
        if key == WITHOUT_GRADIENT.get(name):
            assert parameter.grad is None
        elif key.startswith("controller"):
            assert float(parameter.grad.abs().max()) > 0, key
        else:
            reached = parameter.grad.flatten(1).abs().sum(dim=1)
            assert [bool(of_task > 0) for of_task in reached] == [True, False, True], key


def test_gradients_of_full_fine_tuning_reach_all_that_the_encoder_uses(backbone):
    own, adapter = untrained("full", backbone)
    encoded(own, adapter, [45, 33], ["ann", "bob"]).square().sum().backward()
    for key, parameter in own.named_parameters():
        assert parameter.requires_grad, key
        if key.startswith(("encoder.", "encoder_embed.")):
            assert float(parameter.grad.abs().max()) > 0, key
        else:
            assert parameter.grad is None, key
    assert {id(p) for p in adapter.parameters()} == {id(p) for p in own.parameters()}


@pytest.mark.parametrize("name", PER_TASK)
def test_a_task_has_parts_of_its_own(backbone, name):
    own, adapter = as_if_trained(name, backbone)
    lens, tasks = [45, 33, 60], ["ann", "bob", "ann"]
    with torch.no_grad():
        before = encoded(own, adapter, lens, tasks)
        for key, parameter in adapter.named_parameters():
            if not key.startswith("controller"):
                parameter[TASKS.index("bob")] += 0.1
        after = encoded(own, adapter, lens, tasks)
        features, feature_lens = random_features(lens)
        alone, _ = own.encode(features[:1, :45], feature_lens[:1], adapter.for_tasks(["ann"]))
    assert torch.equal(after[0], before[0])
    assert torch.equal(after[2], before[2])
    assert relative_error(after[1], before[1]) > 1e-2
    assert relative_error(after[0, : alone.shape[1]], alone[0]) < 1e-5


def test_full_fine_tuning_has_one_model_for_all_its_tasks(backbone):
    own, adapter = as_if_trained("full", backbone)
    lens = [45, 33]
    with torch.no_grad():
        assert torch.equal(encoded(own, adapter, lens, ["ann", "bob"]), encoded(own, adapter, lens, ["bob", "cho"]))
    with refused("no head for task 'anne'; did you mean 'ann'?"):
        adapter.for_tasks(["ann", "anne"])


@pytest.mark.parametrize("name", PER_TASK)
def test_an_unknown_task_is_refused_by_every_method(plain, name):
    _, adapter = untrained(name, plain)
    with refused("no head for task 'anne'; did you mean 'ann'?"):
        adapter.for_tasks(["ann", "anne"])


@pytest.mark.parametrize("name", kinds())
def test_the_same_seed_gives_the_same_start_and_leaves_the_users_generator_alone(plain, name):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again, other = (fingerprint(untrained(name, plain, seed)[1].state_dict()) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert first == again
    random = kinds()[name].per_task and name != "bitfit"  # in the others nothing is
    assert (first != other) == random


# Parameters, counted by hand


def lora_numbers(width, rank):
    """rank · (in + out) for each projection of a layer."""
    heads, feedforward = HEADS[width], 2 * width
    projections = [
        (width, heads * (2 * QUERY + POSITION)),
        *[(width, heads * VALUE), (heads * VALUE, width)] * 2,
        *[(width, feedforward * part // 4) for part in (3, 4, 5)],
        *[(feedforward * part // 4, width) for part in (3, 4, 5)],
    ]
    return sum(rank * (wide_in + wide_out) for wide_in, wide_out in projections)


def bias_numbers(width):
    """Biases of a layer, its norm's bias and the norm's scale."""
    heads, feedforward = HEADS[width], 2 * width
    return (
        heads * (2 * QUERY + POSITION)
        + 2 * (heads * VALUE + width)
        + sum(feedforward * part // 4 + width for part in (3, 4, 5))
        + 3 * (width * 3 // 4) + width  # non-linear attention
        + 2 * (2 * width + width + width)  # convolution modules
        + width + 1
    )  # fmt: skip


CONTROLLER = SIZE * WIDEST + 2 * SIZE
FRONT_END = 8 + 32 + 128 + (128 + 384 + 128) + 24 + 24 + 1
PARAMETERS = {  # per task, shared
    "bitfit": (FRONT_END + sum(map(bias_numbers, WIDTHS)), 0),
    "residual-adapters": (sum(2 * d * SIZE + SIZE + d + 2 * d for d in WIDTHS), 0),
    "lora": (sum(lora_numbers(d, SIZE) for d in WIDTHS), 0),
    "hra-linear": (WIDEST * SIZE + WIDEST, CONTROLLER),
    "hra-ffn": (SIZE * SIZE + SIZE + WIDEST * SIZE + WIDEST, CONTROLLER),
    "hra-no-recurrence": (WIDEST * SIZE + WIDEST, CONTROLLER),
    "hra-apart": (WIDEST * SIZE + WIDEST, CONTROLLER),
    "hra-controller-per-layer": (WIDEST * SIZE + WIDEST, sum(SIZE * d + 2 * SIZE for d in WIDTHS)),
    "hra-head-per-layer": (sum(d * SIZE + d for d in WIDTHS), CONTROLLER),
}

TRAINED = {  # modules of the recogniser
    "full-front-end": {"encoder_embed"},
    "full-encoder": {"encoder"},
    "full-transducer": {"decoder", "joiner", "simple_am_proj", "simple_lm_proj"},
}


@pytest.mark.parametrize("name", kinds())
def test_parameters_are_as_many_as_the_equations_say(backbone, name):
    _, adapter = untrained(name, backbone)
    whole = sum(p.numel() for p in backbone.parameters())
    if name in TRAINED:
        own = sum(p.numel() for key, p in backbone.named_parameters() if key.split(".")[0] in TRAINED[name])
        assert (adapter.parameters_per_task, adapter.parameters_shared) == (0, own)
        assert 0 < own < whole
        return
    per_task, shared = (0, whole) if name == "full" else PARAMETERS[name.removesuffix(TOGETHER)]
    assert (adapter.parameters_per_task, adapter.parameters_shared) == (per_task, shared)
    assert sum(p.numel() for p in adapter.parameters()) == shared + len(TASKS) * per_task


def test_parts_of_full_fine_tuning_are_all_of_it_and_each_trains_its_own(backbone):
    found = []
    for name, modules in TRAINED.items():
        own, _ = untrained(name, backbone)
        trained = [key for key, parameter in own.named_parameters() if parameter.requires_grad]
        assert {key.split(".")[0] for key in trained} == modules
        found += trained
    assert sorted(found) == sorted(key for key, _ in backbone.named_parameters())


@pytest.mark.parametrize("name", [f"residual-adapters{TOGETHER}", f"lora{TOGETHER}"])
def test_together_all_tasks_begin_where_the_first_begins_apart(name, plain):
    _, alike = untrained(name, plain)
    _, apart = untrained(name.removesuffix(TOGETHER), plain)
    differ = []
    for own, other in zip(alike.parameters(), apart.parameters()):
        assert torch.equal(own, other[:1].expand_as(own))
        differ.append(not torch.equal(own, other))
    assert any(differ)


def test_the_layers_of_the_tiny_recogniser_are_those_counted_here(plain):
    assert list(plain.layer_widths().values()) == WIDTHS


# Names


def test_a_method_is_a_name_and_maybe_a_size():
    assert parse_method("lora:4") == Method("lora", 4)
    assert parse_method(" hra-ffn ") == Method("hra-ffn", 64)
    assert parse_method("full") == Method("full", None)
    for name, kind in kinds().items():
        default = parse_method(name)
        assert parse_method(str(default)) == default
        assert (default.size, default.kind.lrs) == (kind.size, kind.lrs)
        assert "{" not in default.label
    assert parse_method("lora:4").label == "LoRA, r=4"


def test_two_methods_never_share_a_label():
    labels = [parse_method(name).label for name in kinds()]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hra-liner", "no such method: 'hra-liner'; did you mean 'hra-linear'?"),
        ("", "no such method: ''"),
        ("full:8", "the method full has no size, but 'full:8' gives one"),
        ("bitfit:1", "the method bitfit has no size"),
        ("lora:0", "'lora:0': the size of lora is a positive whole number"),
        ("lora:-1", "the size of lora is a positive whole number"),
        ("lora:2.5", "the size of lora is a positive whole number"),
        ("lora:eight", "the size of lora is a positive whole number"),
        ("lora:²", "the size of lora is a positive whole number"),
        ("lora:8:8", "the size of lora is a positive whole number"),
    ],
)
def test_what_is_no_method_is_refused(text, message):
    with refused(message.replace("?", r"\?")):
        parse_method(text)


@pytest.mark.parametrize("name", ["full", *HOOKED])
def test_a_method_that_reaches_inside_layers_needs_a_recogniser(name):
    with refused(f"{name} does not sit between layers: it needs a recogniser"):
        between_layers(method(name), {"layers.0": 8}, TASKS, seed=0)


# Each method against its equation


def merged(backbone, change):
    """A copy of the recogniser after change(its modules by name)."""
    changed = copy.deepcopy(backbone)
    with torch.no_grad():
        change(dict(changed.named_modules()))
    return changed


def changes_by_module(adapter):
    return {name.replace("-", "."): change for name, change in adapter.changes.items()}


def assert_as_merged(own, adapter, merge, backbone):
    """A mixed batch comes out as from recognisers into whose weights each task's change is merged."""
    lens, tasks = [60, 45, 33], ["cho", "ann", "bob"]
    with torch.no_grad():
        out = encoded(own, adapter, lens, tasks)
        frozen = encoded(backbone, None, lens, tasks)
        for n, task in enumerate(tasks):
            expected = encoded(merged(backbone, lambda modules, task=task: merge(modules, task)), None, lens, tasks)
            assert relative_error(out[n], expected[n]) < 1e-4
            assert relative_error(out[n], frozen[n]) > 1e-2


def test_lora_is_a_low_rank_matrix_on_top_of_the_weight(backbone):
    own, adapter = as_if_trained("lora", backbone)
    assert all(isinstance(change, LowRank) for change in adapter.changes.values())

    def merge(modules, task):
        for name, change in changes_by_module(adapter).items():
            n = TASKS.index(task)
            assert change.a[n].shape[0] == change.b[n].shape[1] == SIZE
            modules[name].weight += change.b[n] @ change.a[n]

    assert_as_merged(own, adapter, merge, backbone)


def test_loras_projection_is_w_x_plus_b_plus_b_a_x():
    linear = nn.Linear(5, 7)
    change = LowRank(2, linear, 2, torch.Generator().manual_seed(0))
    x = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1))
    index = torch.tensor([1, 0, 1])
    with torch.no_grad():
        assert torch.equal(change(x, linear(x), index), linear(x))
        change.b.normal_(generator=torch.Generator().manual_seed(2))
        out = change(x, linear(x), index)
        for n, task in enumerate(index.tolist()):
            for t in range(4):
                expected = linear.weight @ x[n, t] + linear.bias + change.b[task] @ (change.a[task] @ x[n, t])
                assert torch.allclose(out[n, t], expected, atol=1e-5)


def test_bitfit_is_other_biases_and_norms(any_backbone):
    own, adapter = as_if_trained("bitfit", any_backbone)

    def merge(modules, task):
        for name, change in changes_by_module(adapter).items():
            n = TASKS.index(task)
            modules[name].bias += change.shift[n]
            if hasattr(change, "log_scale"):
                modules[name].log_scale += change.log_scale[n, 0]

    assert_as_merged(own, adapter, merge, any_backbone)


def test_residual_adapters_are_bottlenecks_after_every_layer(plain):
    _, adapter = as_if_trained("residual-adapters", plain)
    parts = {name.replace("-", "."): bottlenecks for name, bottlenecks in adapter.layers.items()}
    assert list(parts) == list(plain.layer_widths())
    n = TASKS.index("bob")

    def by_hand(x, layer):
        of = parts[layer.name]
        normed = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        inner = torch.relu((normed * of.scale[n] + of.shift[n]) @ of.down[n].T + of.down_bias[n])
        return x + inner @ of.up[n].T + of.up_bias[n]

    features, lens = random_features([60, 45])
    with torch.no_grad():
        expected, _ = plain.encode(features, lens, by_hand)
        out, _ = plain.encode(features, lens, adapter.for_tasks(["bob", "bob"]))
    assert relative_error(out, expected) < 1e-5


def test_without_recurrence_a_layer_is_adapted_by_itself_alone(plain):
    adapter = without_recurrence(TASKS, WIDEST, SIZE, seed=5)
    recurrent = new_adapter(TASKS, WIDEST, SIZE, seed=5)
    by_hand = copy.deepcopy(recurrent)
    with torch.no_grad():
        by_hand.controller.recurrent.zero_()
        for one in (adapter, recurrent, by_hand):
            one.bank.weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(6))
    lens, tasks = [60, 45], ["cho", "ann"]
    out = encoded(plain, adapter, lens, tasks)
    assert torch.equal(out, encoded(plain, by_hand, lens, tasks))
    assert relative_error(out, encoded(plain, recurrent, lens, tasks)) > 1e-2

    def alone(x, layer):
        h = torch.relu(F.linear(x, adapter.controller.weight[:, : x.shape[-1]], adapter.controller.bias))
        index = adapter.index(tasks)
        return x + adapter.bank.gather(index)(h, x.shape[-1])

    features, feature_lens = random_features(lens)
    assert torch.equal(out, plain.encode(features, feature_lens, alone)[0])


def test_without_recurrence_stays_so_in_training(plain):
    _, adapter = as_if_trained("hra-no-recurrence", plain)
    weight = adapter.controller.weight.detach().clone()
    optimizer = torch.optim.AdamW([p for p in adapter.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    encoded(plain, adapter, [45, 33], ["ann", "bob"]).square().sum().backward()
    optimizer.step()
    assert not torch.equal(adapter.controller.weight, weight)
    assert torch.equal(adapter.controller.recurrent, torch.zeros(SIZE))


def layerwise(adapter, controllers, heads):
    """A LayerwiseAdapter of so many controllers and heads, all equal to those of `adapter`; of the layers' widths
    where there is one per layer."""

    def equal_controller(width):
        one = Controller(width, adapter.controller.hidden)
        one.weight.copy_(adapter.controller.weight[:, :width])
        one.recurrent.copy_(adapter.controller.recurrent)
        one.bias.copy_(adapter.controller.bias)
        return one

    def equal_bank(width):
        one = new_bank("linear", len(TASKS), HeadSizes(width, adapter.controller.hidden))
        one.weight.copy_(adapter.bank.weight[:, :width])
        one.bias.copy_(adapter.bank.bias[:, :width])
        return one

    with torch.no_grad():
        return LayerwiseAdapter(TASKS, [equal_controller(d) for d in controllers], [equal_bank(d) for d in heads])


@pytest.mark.parametrize(
    ("name", "controllers", "heads"),
    [("hra-controller-per-layer", WIDTHS, [WIDEST]), ("hra-head-per-layer", [WIDEST], WIDTHS)],
)
def test_layers_with_parts_of_their_own_that_are_equal_are_hra(backbone, name, controllers, heads):
    adapter = random_adapter(TASKS, WIDEST, hidden=SIZE)
    equal = layerwise(adapter, controllers, heads)
    _, built = untrained(name, backbone)
    shapes = {key: tensor.shape for key, tensor in equal.state_dict().items()}
    assert {key: tensor.shape for key, tensor in built.state_dict().items()} == shapes
    built.load_state_dict(equal.state_dict())
    lens, tasks = [60, 45, 33], ["cho", "ann", "bob"]
    with torch.no_grad():
        out = encoded(backbone, built, lens, tasks)
        assert torch.equal(out, encoded(backbone, adapter, lens, tasks))
        assert relative_error(out, encoded(backbone, None, lens, tasks)) > 1e-2


@pytest.mark.parametrize("name", ["hra-controller-per-layer", "hra-head-per-layer"])
def test_every_layers_own_part_is_used_in_its_place(plain, name):
    """Moving the part of one layer moves that layer's output and leaves all before it."""
    lens, tasks = [60, 45], ["cho", "ann"]

    def outputs(adapter):
        after, seen = adapter.for_tasks(tasks), []

        def watched(x, layer):
            seen.append(after(x, layer))
            return seen[-1]

        features, feature_lens = random_features(lens)
        plain.encode(features, feature_lens, watched)
        return seen

    with torch.no_grad():
        for number in range(len(WIDTHS)):
            _, adapter = as_if_trained(name, plain)
            before = outputs(adapter)
            part = adapter.controllers if name == "hra-controller-per-layer" else adapter.banks
            for parameter in part[number].parameters():
                parameter.add_(0.5)
            after = outputs(adapter)
            same = [torch.equal(one, other) for one, other in zip(before, after)]
            assert same == [True] * number + [False] * (len(WIDTHS) - number)


def test_controllers_of_different_layers_start_apart():
    adapter = controller_per_layer(TASKS, [8, 8], SIZE, torch.Generator().manual_seed(0))
    first, second = adapter.controllers
    assert not torch.equal(first.weight, second.weight)


# What a new task starts from


@pytest.mark.parametrize("name", kinds())
def test_a_kind_says_what_is_per_task_and_what_is_shared(plain, name):
    _, adapter = untrained(name, plain)
    kind = kinds()[name]
    assert (adapter.parameters_per_task > 0, adapter.parameters_shared > 0) == (kind.per_task, kind.shared)


@pytest.mark.parametrize("name", kinds())
def test_new_tasks_start_from_what_others_share_and_have_in_common(plain, name):
    """From three tasks that have learned the same, so that what they have in common is what each of them does."""
    own, learned = as_if_trained(name, plain)
    learned.start_from({key: parameter[1].clone() for key, parameter in learned.per_task_parameters().items()})
    lens = [45, 33]
    expected = encoded(own, learned, lens, ["ann", "cho"])
    fresh, adapter = new_method(method(name), plain, ["new", "newer"], seed=5)
    adapter.share(learned)
    adapter.start_from(learned.start_for_others())
    assert torch.allclose(encoded(fresh, adapter, lens, ["new", "newer"]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", PER_TASK)
def test_in_common_is_the_average_over_tasks_and_what_is_shared_leaves_heads_alone(plain, name):
    _, learned = as_if_trained(name, plain)
    per_task = learned.per_task_parameters()
    assert learned.start_for_others().keys() == per_task.keys()
    for key, tensor in learned.start_for_others().items():
        assert torch.allclose(tensor, sum(per_task[key]) / len(TASKS), atol=1e-6)
        assert not tensor.requires_grad
    _, adapter = untrained(name, plain)
    before = {key: tensor.clone() for key, tensor in adapter.state_dict().items()}
    adapter.share(learned)
    for key, tensor in adapter.state_dict().items():
        assert torch.equal(tensor, before[key] if key in per_task else learned.state_dict()[key])
