import numpy as np
import torch

from hra_cli.training.augment import Augment


def augmented(seed=3, names=("a", "b", "c", "d", "e", "f", "g", "h")):
    features = torch.arange(300.0).view(1, -1, 1).expand(len(names), 300, 80).contiguous()
    lens = torch.full((len(names),), 280)
    return dict(zip(names, Augment()(features, lens, names, seed)))


def test_an_utterance_is_augmented_alike_in_any_batch():
    everyone, some = augmented(), augmented(names=("g", "b"))
    assert all(torch.equal(everyone[name], features) for name, features in some.items())
    other = augmented(seed=4)
    assert not any(torch.equal(everyone[name], features) for name, features in other.items())
    assert all((features[280:] == torch.arange(280.0, 300.0)[:, None]).all() for features in everyone.values())


def test_what_others_draw_changes_nothing_and_nothing_of_theirs_is_changed(monkeypatch):
    """Dask's threads draw from `random`, too."""
    expected = augmented()
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    found = augmented()
    assert before == (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    monkeypatch.setattr("random.random", lambda: 0.99)
    drawn = augmented()
    assert all(torch.equal(found[name], expected[name]) and torch.equal(drawn[name], expected[name]) for name in found)
