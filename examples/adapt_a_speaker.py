"""Adapts a recogniser to one speaker: trains a head, and exports it to a file that works alone.

    python examples/adapt_a_speaker.py BACKBONE DATA SPEAKER

BACKBONE is an icefall recogniser's folder, DATA a folder that `hra prepare` has made, SPEAKER one of its tasks.
"""

import argparse
from pathlib import Path

from hra_cli.experiment.config import TrainConfig
from hra_cli.experiment.folder import export_head
from hra_cli.scoring.wer import wer_text
from hra_cli.training.train_heads import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbone", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("speaker")
    parser.add_argument("--num-epochs", type=int, default=10)
    parser.add_argument("--exp-dir", type=Path, default=Path("exp"))
    options = parser.parse_args()

    # What is not said here has the default that `hra train` has.
    config = TrainConfig(
        backbone=str(options.backbone.resolve()),
        data=str(options.data.resolve()),
        tasks=(options.speaker,),
        num_epochs=options.num_epochs,
        max_duration=10.0,  # seconds of audio in a batch: few, so that one speaker's little speech makes many steps
        rnnt_type="modified",  # for a recogniser that emits at most one token a frame, as `greedy_search` does
    )
    result = train(config, options.exp_dir)
    (row,) = result.rows
    print(f"{row.task}: WER on dev {wer_text(row.before.wer)} % frozen, {wer_text(row.after.wer)} % with the head")

    output = options.exp_dir / f"{options.speaker}.safetensors"
    head = export_head(options.exp_dir, options.speaker, output)
    print(f"{output}: {head.num_parameters:,} parameters and the controller, {output.stat().st_size / 1000:.1f} KB")


if __name__ == "__main__":
    main()
