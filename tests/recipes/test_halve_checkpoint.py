from pathlib import Path

import torch
import warm
from safetensors.torch import load_file

SCRIPT = Path(__file__).parents[2] / "recipes" / "accents" / "local" / "halve_checkpoint.py"


def halve(weights, directory):
    torch.save({"model": weights}, directory / "pretrained.pt")
    return warm.run(SCRIPT, directory / "pretrained.pt", directory / "model.safetensors", code=warm.FILE)


def test_names_stay_and_values_are_halved(tmp_path):
    weights = {"encoder.weight": torch.randn(3, 4).t(), "joiner.bias": torch.tensor([0.1, -13.5])}
    assert halve(weights, tmp_path).returncode == 0
    halved = load_file(tmp_path / "model.safetensors")
    assert halved.keys() == weights.keys()
    assert all(torch.equal(halved[name], weights[name].half()) for name in weights)


def test_a_weight_that_does_not_fit_is_refused(tmp_path):
    done = halve({"encoder.weight": torch.tensor([1.0, 70000.0])}, tmp_path)
    assert done.returncode == 2
    assert "encoder.weight has weights outside the range of float16" in done.stderr
    assert not (tmp_path / "model.safetensors").exists()
