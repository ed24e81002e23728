"""Which device computes, and what goes there."""

import contextlib
import os

import pytest
import torch
from builders import refused
from devices import LeftBehind, needs_cuda, needs_meta, pretended_gpu

from hra_cli.nn.device import available_devices, find_device, make_repeatable, on_device, to_device, without_cudnn
from hra_cli.nn.frames import repeat_last_frame
from hra_cli.nn.memory import peak_memory

CPU = torch.device("cpu")


def with_cards(monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_without_a_gpu_the_cpu_is_chosen_and_cuda_is_refused(monkeypatch):
    with_cards(monkeypatch, 0)
    assert find_device("auto") == find_device("cpu") == CPU
    for name in ("cuda", "cuda:1"):
        with refused(f"--device {name}: torch .* finds no CUDA device here; use --device cpu"):
            find_device(name)
    assert [name for name, _ in available_devices()] == ["cpu"]


def test_with_two_gpus(monkeypatch):
    with_cards(monkeypatch, 2)
    assert find_device("auto") == find_device("cuda") == torch.device("cuda", 0)
    assert find_device("cuda:1") == torch.device("cuda", 1)
    assert find_device("cpu") == CPU
    with refused("--device cuda:2: there are 2 CUDA devices, cuda:0 to cuda:1"):
        find_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "", "CPU"])
def test_other_names_are_refused(name):
    with refused(f"no such --device: '{name}'; there are auto, cpu, cuda and cuda:N"):
        find_device(name)


def test_devices_are_described(monkeypatch):
    class Card:
        name, total_memory = "NVIDIA X100", 80 * 2**30

    with_cards(monkeypatch, 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: Card)
    (cpu, about), *cards = available_devices()
    assert cpu == "cpu"
    assert about == f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    assert cards == [("cuda:0", "NVIDIA X100, 80 GiB"), ("cuda:1", "NVIDIA X100, 80 GiB")]


def test_peak_memory_of_the_process_grows_with_what_it_holds():
    before = peak_memory(CPU)
    assert before > 20
    held = torch.ones(2**20 * int(before + 300) // 4)  # more than the process ever had
    assert peak_memory(CPU) > before + 200
    del held


@needs_cuda
def test_peak_memory_of_a_gpu():
    device = torch.device("cuda", 0)
    before = peak_memory(device)
    held = torch.ones(2**20 * int(before + 64) // 4, device=device)
    assert peak_memory(device) > before + 32
    del held


def test_whole_numbers_go_as_they_are():
    assert torch.equal(on_device([3, 1], CPU), torch.tensor([3, 1]))
    assert on_device([[], []], CPU).shape == (2, 0)
    assert on_device([], CPU).dtype == torch.int64
    x = torch.ones(3)
    assert to_device(x, CPU) is x


@needs_cuda
def test_what_is_sent_to_a_gpu_arrives():
    device = torch.device("cuda", 0)
    x = torch.randn(1000, 80)
    sent = to_device(x, device)
    assert sent.device == device
    assert torch.equal(sent.cpu(), x)


MISTAKES = {
    "a value": lambda x: x.sum().item(),
    "values": lambda x: x.tolist(),
    "a question": lambda x: bool((x > 0).all()),
    "a mask that chooses": lambda x: x[x > 0],
    "moved to the host": lambda x: x.cpu(),
    "made on the host": lambda x: x + torch.ones(3),
    "an index on the host": lambda x: x[torch.arange(2)],
    "sent, and waited for": lambda x: torch.ones(3).to(x.device),
    "made of a list": lambda x: torch.tensor([1, 2], device=x.device),
}


@needs_meta
@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_pretended_gpu_notices(mistake):
    with pytest.raises((LeftBehind, RuntimeError, NotImplementedError)), pretended_gpu() as device:
        MISTAKES[mistake](torch.zeros(3, device=device))


@needs_meta
def test_the_last_frame_is_repeated_without_waiting():
    with pretended_gpu() as device:
        x = repeat_last_frame(torch.zeros(5, 3, 2, device=device), on_device([5, 2, 4], device))
    assert x.shape == (5, 3, 2)


@pytest.mark.parametrize("lens", [[4, 4], [4, 1], [2, 3]])
def test_the_last_frame_is_repeated(lens, monkeypatch):
    x = torch.arange(8.0).view(4, 2, 1)
    expected = torch.stack([x[[min(t, length - 1) for t in range(4)], n] for n, length in enumerate(lens)], dim=1)
    assert torch.equal(repeat_last_frame(x, torch.tensor(lens)), expected)
    monkeypatch.setattr("hra_cli.nn.frames.host_can_read", lambda device: False)  # as on a GPU
    assert torch.equal(repeat_last_frame(x, torch.tensor(lens)), expected)


def test_training_adds_up_in_one_order_on_cuda_and_the_cpu_is_left_as_it_is(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        make_repeatable(torch.device("cpu"))
        assert not torch.are_deterministic_algorithms_enabled()
        make_repeatable(torch.device("cuda", 0))
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"]
    finally:
        torch.use_deterministic_algorithms(False)


def test_on_a_gpu_cudnn_convolves_nothing_and_the_users_setting_comes_back():
    with without_cudnn(CPU):
        assert torch.backends.cudnn.enabled
    with contextlib.suppress(KeyError), without_cudnn(torch.device("cuda", 0)):
        assert not torch.backends.cudnn.enabled
        raise KeyError
    assert torch.backends.cudnn.enabled
