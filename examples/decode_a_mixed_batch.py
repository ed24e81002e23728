"""Decodes utterances of several tasks in the same batches, each with its own task's head.

    python examples/decode_a_mixed_batch.py BACKBONE DATA ann.safetensors bob.safetensors …

BACKBONE is an icefall recogniser's folder, DATA a folder that `hra prepare` has made. The test utterances of those
tasks are decoded that the head files are for.
"""

import argparse
from collections import Counter
from pathlib import Path

from lhotse import CutSet

from hra_cli.data.task_index import load_tasks
from hra_cli.recognition.load import load_recogniser
from hra_cli.scoring.wer import score, wer_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbone", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("heads", type=Path, nargs="+")
    parser.add_argument("--max-duration", type=float, default=200.0, help="seconds of audio in a batch")
    options = parser.parse_args()

    recogniser = load_recogniser(options.backbone, heads=options.heads)
    index = load_tasks(options.data)
    cuts = CutSet.from_cuts(cut for task in recogniser.adapter.tasks for cut in index.cuts(task, "test"))

    decoded = []
    for batch in recogniser.decode(cuts, max_duration=options.max_duration):
        tasks = Counter(utterance.task for utterance in batch)
        print("a batch of " + ", ".join(f"{number} × {task}" for task, number in sorted(tasks.items())))
        for utterance in batch:
            print(f"{utterance.id}\t{utterance.text}")
        decoded += batch

    for task, errors in score(decoded).tasks.items():
        print(f"{task}: WER on test {wer_text(errors.wer)} %")


if __name__ == "__main__":
    main()
