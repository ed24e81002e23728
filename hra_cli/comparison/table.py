"""A comparison as rows of text, and as the Markdown file that they make."""

from __future__ import annotations

from typing import Union

from hra_cli.comparison.cell_files import SplitScores
from hra_cli.comparison.comparison_file import CellRecord, Comparison
from hra_cli.comparison.onboard_table import onboarding_markdown
from hra_cli.io.markdown import markdown_table
from hra_cli.scoring.wer import wer_text

COLUMNS = (
    "method", "mode", "seed", "lr", "per task", "shared", "in all", "WER %", "95 % interval", "errors", "dev WER %",
    "steps", "seconds", "peak MiB",
)  # fmt: skip
OVER_SEEDS = (
    "method", "mode", "seeds", "per task", "mean WER %", "lowest – highest", "mean dev WER %", "difference",
    "95 % interval",
)  # fmt: skip
DIFFERENCE = "The difference is to the first method of the same mode; its interval is paired, over test utterances"


def cell_rows(found: Comparison) -> list[dict[str, str]]:
    """The frozen model and every cell of `comparison.json`, each by the names in COLUMNS; some lack some of them."""
    return [
        {"method": "frozen", "per task": "0", "shared": "0", "in all": "0", **_scores(found.frozen)},
        *(
            {
                "method": cell.label,
                "mode": cell.mode,
                "seed": str(cell.seed),
                "lr": f"{cell.lr:g}",
                "per task": f"{cell.parameters_per_task:,}",
                "shared": f"{cell.parameters_shared:,}",
                "in all": f"{cell.parameters_in_all:,}",
                "dev WER %": wer_text(cell.dev.wer, 1),
                "steps": f"{cell.steps:,}",
                "seconds": f"{cell.seconds:.0f}",
                "peak MiB": "" if cell.peak_memory_mib is None else f"{cell.peak_memory_mib:.0f}",
                **_scores(cell),
            }
            for cell in found.cells
        ),
    ]


def _scores(scores: Union[SplitScores, CellRecord]) -> dict[str, str]:
    interval = f"{scores.low:.1f} – {scores.high:.1f}"
    return {"WER %": f"{scores.wer:.1f}", "95 % interval": interval, "errors": str(scores.errors)}


def markdown(found: Comparison) -> str:
    """comparison.md: what was compared, and the table."""
    test, config = found.test, found.config
    length = f"{config.budget_seconds:g} s" if config.budget_seconds else f"{config.num_epochs} epochs"
    lines = [
        f"Test: {test.utterances} utterances, {test.words} words, {len(found.tasks)} tasks, "
        f"{test.decoding_method}. Trained for {length} per model; learning rates chosen on dev. "
        "Parameters per task, shared by all tasks, and in all; the frozen model's are not counted.",
        "",
        *markdown_table(COLUMNS, [[row.get(column, "") for column in COLUMNS] for row in cell_rows(found)], text=2),
        "",
    ]
    if found.over_seeds:
        lines += [
            f"Means over the seeds. {DIFFERENCE}:",
            "",
            *markdown_table(OVER_SEEDS, over_seeds_rows(found), text=2),
            "",
        ]
    if found.onboarding is not None:
        lines += onboarding_markdown(found.onboarding)
    return "\n".join(lines)


def over_seeds_rows(found: Comparison) -> list[list[str]]:
    """The methods over their seeds, each in the order of OVER_SEEDS."""
    return [
        [
            record.label,
            record.mode,
            str(record.seeds),
            f"{record.parameters_per_task:,}",
            f"{record.wer:.1f}",
            f"{record.lowest:.1f} – {record.highest:.1f}",
            wer_text(record.dev_wer, 1),
            "" if record.difference is None else f"{record.difference:+.1f}",
            "" if record.difference is None else f"{record.low:+.1f} to {record.high:+.1f}",
        ]
        for record in found.over_seeds
    ]
