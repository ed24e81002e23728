"""Choosing a learning rate by dev."""

from __future__ import annotations

from collections.abc import Mapping

from hra_cli.comparison.cell_files import CellResult, TriedRate
from hra_cli.comparison.plan import Cell
from hra_cli.errors import HraError
from hra_cli.training.selection import as_good_as
from hra_cli.training.step import Diverged


def best_of(results: Mapping[Cell, CellResult], data: str) -> Cell:
    """The cell with the lowest dev loss, of those that may have the fewest dev errors (`as_good_as`).

    Raises Diverged where none was trained to the end, and HraError where dev has no words to choose by. data: where
    dev is, for that.
    """
    trained = {cell: result for cell, result in results.items() if result.diverged is None}
    if not trained:
        first = next(iter(results))
        raise Diverged(f"{first.method}, {first.mode}: {results[first].diverged}")
    if len(trained) > 1 and not any(result.dev.words for result in trained.values()):
        raise HraError(
            f"no words on dev in {data} that could be scored, by which to choose one of the learning "
            f"rates {', '.join(f'{cell.lr:g}' for cell in results)}; give one with --lrs"
        )
    enough = as_good_as(min(result.dev_errors for result in trained.values()))
    return min(
        (cell for cell in trained if trained[cell].dev_errors <= enough), key=lambda cell: trained[cell].dev_loss
    )


def tried_rates(results: Mapping[Cell, CellResult]) -> list[TriedRate]:
    """What came of every rate with which training did not diverge."""
    return [
        TriedRate(cell.lr, found.dev_errors, found.dev_loss)
        for cell, found in results.items()
        if found.diverged is None
    ]
