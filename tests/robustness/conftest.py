from pathlib import Path

import pytest
from robustness.samples import Samples, make_samples


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory) -> Samples:
    """One of every kind of file that hra reads."""
    return make_samples(Path(tmp_path_factory.mktemp("robustness")) / "samples")
