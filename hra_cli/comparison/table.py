"""A comparison as a table, for Markdown and for the terminal."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from rich.table import Table

COLUMNS = (
    "method", "mode", "seed", "lr", "per task", "shared", "in all", "WER %", "95 % interval", "errors", "dev WER %",
    "steps", "seconds", "peak MiB",
)  # fmt: skip
IN_TERMINAL = ("method", "mode", "seed", "lr", "per task", "in all", "WER %", "95 % interval", "seconds")


def _rows(found: dict[str, Any]) -> list[dict[str, str]]:
    """Parameters per task, shared and in all; the rest as the columns say. What is missing is not shown."""
    return [
        {"method": "frozen", "per task": "0", "shared": "0", "in all": "0", **_scores(found["frozen"])},
        *(
            {
                "method": cell["label"],
                "mode": cell["mode"],
                "seed": str(cell["seed"]),
                "lr": f"{cell['lr']:g}",
                "per task": f"{cell['parameters_per_task']:,}",
                "shared": f"{cell['parameters_shared']:,}",
                "in all": f"{cell['parameters_in_all']:,}",
                "dev WER %": f"{cell['dev']['wer']:.1f}",
                "steps": f"{cell['steps']:,}",
                "seconds": f"{cell['seconds']:.0f}",
                "peak MiB": f"{cell['peak_memory_mib']:.0f}",
                **_scores(cell),
            }
            for cell in found["cells"]
        ),
    ]


def _scores(scores: dict[str, Any]) -> dict[str, str]:
    interval = f"{scores['low']:.1f} – {scores['high']:.1f}"
    return {"WER %": f"{scores['wer']:.1f}", "95 % interval": interval, "errors": str(scores["errors"])}


def markdown(found: dict[str, Any]) -> str:
    """comparison.md: what was compared, and the table."""
    test, config = found["test"], found["config"]
    length = f"{config['budget_seconds']:g} s" if config["budget_seconds"] else f"{config['num_epochs']} epochs"
    lines = [
        f"Test: {test['utterances']} utterances, {test['words']} words, {len(found['tasks'])} tasks, "
        f"{test['decoding_method']}. Trained for {length} per model; learning rates chosen on dev. "
        "Parameters per task, shared by all tasks, and in all; the frozen model's are not counted.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---|---|" + "---:|" * (len(COLUMNS) - 2),
        *("| " + " | ".join(row.get(column, "") for column in COLUMNS) + " |" for row in _rows(found)),
        "",
    ]
    if len({cell["seed"] for cell in found["cells"]}) > 1:
        lines += ["Over the seeds:", "", *_over_seeds(found["cells"]), ""]
    return "\n".join(lines)


def _over_seeds(cells: list[dict[str, Any]]) -> list[str]:
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in cells:
        rows.setdefault((cell["label"], cell["mode"]), []).append(cell)
    lines = [
        "| method | mode | per task | mean WER % | lowest – highest | mean dev WER % |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for (label, mode), seeds in rows.items():
        wers, dev = [cell["wer"] for cell in seeds], [cell["dev"]["wer"] for cell in seeds]
        lines.append(
            f"| {label} | {mode} | {seeds[0]['parameters_per_task']:,} | {fmean(wers):.1f} | {min(wers):.1f} – "
            f"{max(wers):.1f} | {fmean(dev):.1f} |"
        )
    return lines


def comparison_table(found: dict[str, Any]) -> Table:
    table = Table(title=f"test, {found['test']['decoding_method']}")
    for column in IN_TERMINAL:
        table.add_column(column, justify="left" if column in ("method", "mode") else "right")
    for row in _rows(found):
        table.add_row(*(row.get(column, "") for column in IN_TERMINAL))
    return table
