from pathlib import Path

import pytest
from clones import Clone, recipes_repository


@pytest.fixture(scope="session")
def repository(tmp_path_factory) -> Path:
    return recipes_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def clone(repository, tmp_path) -> Clone:
    """A clone of its own for every test."""
    return Clone(repository, tmp_path / "clone")
