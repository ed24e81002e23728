"""JSON and YAML files, whole and damaged."""

from dataclasses import dataclass
from typing import Optional

import pytest
from builders import refused

from hra_cli.errors import HraError
from hra_cli.io.documents import read_json, read_yaml


@dataclass(frozen=True)
class Options:
    name: str
    rates: tuple[float, ...] = ()
    size: Optional[int] = None

    def __post_init__(self):
        if self.size == 0:
            raise HraError("--size must be positive")


def test_a_whole_file_is_its_dataclass(tmp_path):
    (tmp_path / "x.json").write_text('{"name": "ä", "rates": [1, 2.5]}', encoding="utf-8")
    (tmp_path / "x.yaml").write_text("name: ä\nrates: [1, 2.5]\n", encoding="utf-8")
    assert read_json(tmp_path / "x.json", Options, "mend it") == Options("ä", (1, 2.5))
    assert read_yaml(tmp_path / "x.yaml", Options, "mend it") == Options("ä", (1, 2.5))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "damaged"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ("null", "damaged"),
        ('{"rates": []}', "name"),
        ('{"name": 3}', "name"),
        ('{"name": "x", "rates": "1"}', "rates"),
        ('{"name": "x", "rates": ["1"]}', "rates.0"),
        ('{"name": "x", "size": true}', "size"),
        ('{"name": "x", "size": 1.5}', "size"),
        ('{"name": "x", "other": 1}', "other"),
        ('{"name": "x", "size": 0}', "--size must be positive"),
        ('{"name": "x", "size": 1' + 5000 * "0" + "}", "x."),
        ("[" * 100_000, "damaged"),
        ("\ud800", "UTF-8"),
    ],
)
@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_a_damaged_file_is_one_line_that_names_it(tmp_path, content, said, suffix):
    file = tmp_path / f"x.{suffix}"
    file.write_bytes(content.encode("utf-8", "surrogatepass"))
    with refused("is damaged|must be", file, said, "mend it" if "--size" not in said else "positive"):
        (read_json if suffix == "json" else read_yaml)(file, Options, "mend it")


def test_yaml_that_would_run_code_or_grow_is_refused(tmp_path):
    for content in (
        f"name: !!python/object/apply:os.system ['touch {tmp_path}/sentinel']",
        "name: &a [x]\nrates: [*a, *a]",
    ):
        (tmp_path / "x.yaml").write_text(content)
        with refused("x.yaml is damaged", "mend it"):
            read_yaml(tmp_path / "x.yaml", Options, "mend it")
    assert not (tmp_path / "sentinel").exists()


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("folder", "none"):
        with refused(f"cannot read {tmp_path / name}", "mend it"):
            read_json(tmp_path / name, Options, "mend it")
