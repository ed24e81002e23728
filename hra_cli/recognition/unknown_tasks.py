"""What is said of tasks that have no head, where another head serves them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from hra_cli.recognition.recogniser import Recogniser


def note_unknown(note: Callable[[str], None], recogniser: Recogniser, tasks: Iterable[str], what: str) -> None:
    """Says, in one line, which of `tasks` have no head, and how often each is among them.

    tasks: that of everything that is decoded. what: what each of them is, such as "utterances".
    """
    adapter = recogniser.adapter
    if adapter is None or adapter.for_unknown_tasks is None:
        return
    unknown = Counter(task for task in tasks if adapter.serving([task]) != [task])
    if unknown:
        counted = ", ".join(f"{task} ({count:,} {what})" for task, count in sorted(unknown.items()))
        note(f"without a head, decoded with the head '{adapter.for_unknown_tasks}': {counted}")
