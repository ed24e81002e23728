from pathlib import Path

import pytest


@pytest.fixture
def shared() -> Path:
    """Corpora and models that lie beside the repository."""
    path = Path(__file__).parents[1].parent / "shared"
    if not path.is_dir():
        pytest.skip("needs ../shared")
    return path
