"""Real, small and made here: accented speech by eSpeak NG, prepared for the recogniser that the repository ships."""

import shutil
import subprocess
import sys
from pathlib import Path

import warm
from builders import save_pt, tiny_backbone

from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.experiment.config import TrainConfig

ROOT = Path(__file__).parents[1]
BACKBONE = ROOT / "recipes" / "accents" / "backbone"
TASKS = ("de", "fr")


def hra(*arguments, check=True, anew=False, **where):
    """Runs the command line in a process of its own; anew: one that nothing has been imported in."""
    if anew:
        command = [sys.executable, "-m", "hra_cli", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **where)
    else:
        done = warm.run(*arguments, **where)
    assert not check or done.returncode == 0, done.stderr
    return done


def synthesise_and_prepare(folder: Path) -> Path:
    """A data folder with the tasks TASKS, 24 training, 4 dev and 6 test utterances each."""
    script = ROOT / "recipes" / "accents" / "local" / "synthesise.py"
    sizes = ["--train", "24", "--dev", "4", "--test", "6"]
    done = warm.run(script, "--output-dir", folder / "speech", "--voices", ",".join(TASKS), *sizes, code=warm.FILE)
    assert done.returncode == 0, done.stderr
    hra(
        "prepare", "cuts", folder / "speech" / "cuts.jsonl.gz", "--task-by", "custom.accent",
        "--split-by", "custom.split", "--output-dir", folder / "data", "--backbone", BACKBONE, "--num-jobs", "1",
    )  # fmt: skip
    return folder / "data"


def write_recogniser(folder: Path, causal: bool = False) -> Path:
    """A recogniser of random weights, a hundredth of BACKBONE, with the tokenizer that the data are prepared for."""
    folder.mkdir(exist_ok=True)
    bpe_model = Path(shutil.copy(BACKBONE / "bpe.model", folder))
    save_pt(tiny_backbone(causal=causal, vocab_size=load_tokenizer(bpe_model).vocab_size), folder / "pretrained.pt")
    return folder


def config(data: Path, **changes) -> TrainConfig:
    """A run of a few seconds."""
    settings = {"max_duration": 20.0, "num_epochs": 2, "rnnt_type": "modified", "seed": 1, **changes}
    return TrainConfig(backbone=str(BACKBONE), data=str(data), **settings)


def heads_of(exp_dir: Path) -> dict[str, bytes]:
    """The bytes of everything that training is for."""
    files = [exp_dir / "controller.safetensors", *(exp_dir / "heads").iterdir()]
    return {file.name: file.read_bytes() for file in files}
