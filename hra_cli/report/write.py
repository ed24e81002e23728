"""Writing a report: one HTML page that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from hra_cli.comparison.comparison_file import COMPARISON_NAME
from hra_cli.errors import HraError
from hra_cli.experiment.config import CONFIG_NAME
from hra_cli.io.files import write_text
from hra_cli.io.writable import check_file
from hra_cli.report.comparison_content import read_comparison
from hra_cli.report.experiment_content import read_experiment
from hra_cli.report.page import page


def write_report(exp_dir: Path, output: Path) -> Path:
    """Writes the report of an experiment (`hra train`) or a comparison (`hra compare`); returns `output`.

    The same folder gives the same bytes. Raises HraError for a folder that is neither, that has no heads yet, or
    whose files are damaged.
    """
    check_file(output)
    if (exp_dir / COMPARISON_NAME).is_file():
        content = read_comparison(exp_dir)
    elif (exp_dir / CONFIG_NAME).is_file():
        content = read_experiment(exp_dir)
    else:
        raise HraError(
            f"{exp_dir} is no experiment or comparison: it has neither {CONFIG_NAME} nor {COMPARISON_NAME}; "
            "give a folder of `hra train` or `hra compare`"
        )
    write_text(output, page(content))
    return output
