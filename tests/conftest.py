from pathlib import Path

import pytest
import speech

from hra_cli.training.train_heads import train


def pytest_collection_modifyitems(items):
    """Those that take minutes first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("takes_minutes") is None)


@pytest.fixture
def shared() -> Path:
    """Corpora and models that lie beside the repository."""
    path = Path(__file__).parents[1].parent / "shared"
    if not path.is_dir():
        pytest.skip("needs ../shared")
    return path


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """A prepared data folder, see speech.py."""
    return speech.synthesise_and_prepare(tmp_path_factory.mktemp("accents"))


@pytest.fixture(scope="session")
def experiment(data, tmp_path_factory) -> Path:
    """A finished experiment on `data`; tests leave it as it is."""
    exp_dir = tmp_path_factory.mktemp("exp") / "exp"
    train(speech.config(data), exp_dir)
    return exp_dir


@pytest.fixture(scope="session")
def causal_recogniser(tmp_path_factory) -> Path:
    """A small causal recogniser of random weights, with the tokenizer that `data` is prepared for."""
    return speech.write_recogniser(tmp_path_factory.mktemp("causal"), causal=True)
