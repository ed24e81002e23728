"""Writes RESULTS.md from what the recipe's stages have left in the experiment folder."""

import argparse
import json
import platform
from pathlib import Path

import torch

from hra_cli import __version__
from hra_cli.adapter.head_file import read_head
from hra_cli.data.task_index import load_tasks
from hra_cli.experiment.folder import experiment_controller
from hra_cli.io.files import write_text

COMPARISONS = {
    "compare-single-digits": "Single digits: every method, one model for all speakers",
    "compare-connected": "Connected digits: every method",
    "compare-sizes": "Connected digits: adapters and LoRA at other sizes",
    "compare-same-time": "Connected digits: every method for the same time",
    "compare-connected-20": "Connected digits, 20 utterances to train on per speaker",
    "compare-same-time-20": "Connected digits, 20 utterances to train on per speaker: every method for the same time",
    "compare-ablations": "HRA without its parts, 20 utterances per speaker",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("exp", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out", required=True)
    parser.add_argument("--seeds", required=True)
    parser.add_argument("--more-searches", required=True)
    parser.add_argument("--command", required=True)
    parser.add_argument("--train-conf", type=Path, required=True)
    parser.add_argument("--onboard-conf", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    exp, held_out = arguments.exp, arguments.held_out

    frozen = scores(exp / "frozen")
    seeds = arguments.seeds.split()
    searches = ["greedy_search", *arguments.more_searches.split()]
    joint = {(seed, search): scores(exp / f"joint-{seed}" / search) for search in searches for seed in seeds}
    greedy = [joint[seed, "greedy_search"]["total"]["errors"] for seed in seeds]
    onboarded, exported = scores(exp / f"onboard-{held_out}"), scores(exp / "exported")
    speakers = sorted(frozen["tasks"])
    head = read_head(exp / f"joint-{seeds[0]}" / "heads" / f"{held_out}.safetensors")
    controller = experiment_controller(exp / f"joint-{seeds[0]}", head.backbone_fingerprint)
    shared = sum(parameter.numel() for parameter in controller.parameters())
    trained_on = sum(load_tasks(arguments.data).splits(speaker)["train"].utterances for speaker in speakers)

    lines = [
        "# FSDD: a head per speaker",
        "",
        f"Recogniser: a 3 M-parameter Zipformer that has heard synthetic speech only. Test set: the data set's own, "
        f"{frozen['total']['words']} single digits by {len(speakers)} real speakers; trained on {trained_on}. "
        f"A head has {head.num_parameters:,} parameters, the controller, shared by all, {shared:,}.",
        "",
        f"Command: `{arguments.command}`; seeds {arguments.seeds}; hra {__version__}, torch {torch.__version__}, "
        f"Python {platform.python_version()}, {torch.get_num_threads()} CPU threads.",
        "",
        f"Joint training: `hra train {options(arguments.train_conf)}`",
        "",
        f"Onboarding: `hra train {options(arguments.onboard_conf)} --controller …`, {held_out} alone, on a controller "
        "trained on the others.",
        "",
        "WER in per cent:",
        "",
        "| | " + " | ".join(speakers) + " | all |",
        "|---|" + "---:|" * (len(speakers) + 1),
        row("frozen, greedy_search", frozen, speakers),
        *(row(f"joint heads, {search}, seed {seed}", found, speakers) for (seed, search), found in joint.items()),
        row(f"{held_out} onboarded, greedy_search", onboarded, speakers),
        row("the same from the exported file alone", exported, speakers),
        "",
        f"Joint training leaves {sum(greedy) / len(greedy):.1f} of the frozen model's {frozen['total']['errors']} "
        f"errors (mean over {len(seeds)} seeds, greedy search), onboarding "
        f"{ratio(onboarded['tasks'][held_out], frozen['tasks'][held_out])} of {held_out}'s.",
        "",
    ]
    # The summary comes before the tables it is of, how they came about after them.
    local = Path(__file__).parent
    lines.append((local / "summary.md").read_text())
    for folder, title in COMPARISONS.items():
        if (exp / folder / "comparison.md").is_file():
            lines += [f"## {title}", "", *comparison(exp / folder)]
    write_text(arguments.output, "\n".join(lines) + "\n" + (local / "notes.md").read_text())
    print(f"{arguments.output} written")


def scores(folder: Path) -> dict:
    return json.loads((folder / "wer.json").read_text())


def comparison(folder: Path) -> list:
    found = json.loads((folder / "comparison.json").read_text())
    machine = ", ".join(f"{name} {value}" for name, value in found["machine"].items())
    return [f"`hra compare`, {machine}.", "", *(folder / "comparison.md").read_text().splitlines(), ""]


def options(conf: Path) -> str:
    return " ".join(conf.read_text().split())


def row(name: str, found: dict, speakers: list) -> str:
    cells = [f"{found['tasks'][speaker]['wer']:.1f}" if speaker in found["tasks"] else "" for speaker in speakers]
    total = f"{found['total']['wer']:.1f}" if len(found["tasks"]) == len(speakers) else ""
    return "| " + " | ".join([name, *cells, total]) + " |"


def ratio(after: dict, before: dict) -> str:
    return f"{after['errors']} of {before['errors']}"


if __name__ == "__main__":
    main()
