"""What hra gives one after the other, all at once."""

from lhotse import CutSet

from hra_cli.data.assignment import assigned
from hra_cli.data.manifests import stream_cuts


def read_cuts(path, allow_commands=False):
    """The cuts of a manifest."""
    return CutSet.from_cuts(list(stream_cuts(path, allow_commands)))


def cuts_by_task(cuts, task_by, split_by=None):
    """The cuts with their tasks, and what cannot be used."""
    skipped = []
    return CutSet.from_cuts(list(assigned(cuts, skipped, task_by, split_by))), skipped
