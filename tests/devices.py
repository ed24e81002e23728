"""GPUs in tests: a real one where there is one, and a pretended one that notices what a real one would wait for."""

import contextlib

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from hra_cli.nn.device import without_cudnn

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
needs_meta = pytest.mark.skipif(
    torch.__version__.startswith("1."), reason="torch 1 cannot compute all of the model's shapes on its own"
)
PRETENDED = torch.device("meta")


class LeftBehind(AssertionError):
    """A tensor of the host met one of the device, or was sent there in a way that the host waits for."""


class _Watch(TorchDispatchMode):
    """Looks at every operation."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        tensors = [x for x in tree_flatten((args, kwargs, out))[0] if isinstance(x, torch.Tensor)]
        if len({tensor.device.type for tensor in tensors}) > 1:
            sent = str(func).startswith("aten._to_copy") and kwargs.get("non_blocking")
            if not sent:
                raise LeftBehind(f"{func} on {[(tensor.device.type, tuple(tensor.shape)) for tensor in tensors]}")
        return out


@contextlib.contextmanager
def pretended_gpu():
    """Yields a device whose tensors have no values, and so can be asked for none: torch's "meta".

    What would make the host wait for a real GPU raises: values asked for, tensors moved to the host, masks that choose,
    tensors made on the host and given to the device in any way but `to_device`.
    """
    tensor = torch.tensor

    def on_the_host(data, **options):
        if torch.device(options.get("device") or "cpu").type != "cpu":
            raise LeftBehind("torch.tensor(…, device=…) waits; use on_device")
        return tensor(data, **options)

    with pytest.MonkeyPatch.context() as patch, _Watch():
        patch.setattr(torch, "tensor", on_the_host)
        yield PRETENDED


@contextlib.contextmanager
def no_waiting():
    """With a real GPU: what waits for it in this block raises."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@contextlib.contextmanager
def exactly():
    """Products of float32 in float32: cuDNN's convolutions would otherwise round to TF32."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def as_on_a_gpu(monkeypatch, *modules):
    """Lets the modules of these names take the ways on the CPU that they take where the device cannot be asked."""
    for module in modules:
        monkeypatch.setattr(f"{module}.host_can_read", lambda device: False)


def cudnn_as_on_a_gpu(monkeypatch, *modules):
    """Lets the modules of these names do without cuDNN on the CPU, which they otherwise do on a GPU alone."""
    for module in modules:
        monkeypatch.setattr(f"{module}.without_cudnn", lambda device: without_cudnn(torch.device("cuda", 0)))
