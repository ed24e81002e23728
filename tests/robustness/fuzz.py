"""Damages every kind of file that hra reads, and counts what became of it.

python -m robustness.fuzz [--cases N] [--jobs N] [--kind KIND[/MUTATOR] …] [--seed N]

With one --kind and a --seed: that one case, with its damaged file and what was said. `make fuzz` runs 10,000 cases.
Ends with 1 where an outcome is one that must not be.
"""

from __future__ import annotations

import argparse
import collections
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from robustness.cases import BY_NAME, Workshop, key, kind_of
from robustness.kinds import KINDS
from robustness.outcomes import HARMLESS, OUTCOMES, UNUSED, Outcome
from robustness.pool import Case, run_cases
from robustness.samples import Samples, make_samples

SHOWN = 60  # faults


def plan(number: int, names: Sequence[str], first_seed: int = 0) -> list[Case]:
    """About `number` cases, as many of each kind as its cost allows, one at least; the seeds of each from first_seed.

    Mixed, so that what is slow does not come at the end.
    """
    shares = {name: 1 / kind_of(name).cost for name in names}
    per_share = number / sum(shares.values())
    counts = {name: max(1, round(per_share * share)) for name, share in shares.items()}
    places = [
        ((index + 0.5) / count, (name, first_seed + index)) for name, count in counts.items() for index in range(count)
    ]
    return [case for _, case in sorted(places)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="about so many, of all kinds together")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--kind", action="append", help="KIND or KIND/MUTATOR; repeatable; default: all")
    parser.add_argument("--seed", type=int, help="the one case of --kind with this seed")
    parser.add_argument("--first-seed", type=int, default=0, help="other seeds, other damage")
    arguments = parser.parse_args()
    # Either ends it early; a shell's background jobs are started deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    names = arguments.kind or [kind.name for kind in KINDS]
    if unknown := [name for name in names if not _is_kind(name)]:
        parser.error(f"no such kind: {unknown[0]}; there are {', '.join(BY_NAME)}, and KIND/MUTATOR")
    # The same length wherever it is, since paths are in some files, whose damage is by place.
    with tempfile.TemporaryDirectory(prefix="hra-fuzz-") as folder:
        samples = make_samples(Path(folder) / "samples")
        if arguments.seed is not None:
            show_case(names[0], arguments.seed, Path(folder), samples)
            return
        cases = plan(arguments.cases, names, arguments.first_seed)
        started = time.monotonic()
        found: list[tuple[Case, Outcome]] = []
        try:
            for number, one in enumerate(run_cases(cases, Path(folder), samples, arguments.jobs), start=1):
                found.append(one)
                if number % 250 == 0:
                    print(f"{number:,} of {len(cases):,} cases, {time.monotonic() - started:.0f} s", file=sys.stderr)
        except KeyboardInterrupt:
            print("stopped; the cases so far:", file=sys.stderr)
    print_report(found, time.monotonic() - started)
    sys.exit(any(not outcome.good for _, outcome in found))


def _is_kind(name: str) -> bool:
    try:
        return bool(kind_of(name))
    except KeyError:
        return False


def show_case(name: str, seed: int, folder: Path, samples: Samples) -> None:
    """Prints what became of one case, and leaves its file behind."""
    ((_, outcome),) = run_cases([(name, seed)], folder, samples, 1)
    file = Workshop(folder / "w0", samples).damage(name, seed)
    kept = Path(tempfile.gettempdir()) / f"hra-fuzz-{name.replace('/', '-')}-{seed}{file.suffix}"
    kept.write_bytes(file.read_bytes())
    print(f"{name} {seed}: {outcome.name} {outcome.where}\n{outcome.detail}\nthe file: {kept}")


def print_report(found: Sequence[tuple[Case, Outcome]], seconds: float) -> None:
    """The table of outcomes by kind, what is harmless and why, and every fault once."""
    console = Console(width=160, soft_wrap=True, markup=False, emoji=False, highlight=False)
    counts = collections.Counter((name, outcome.name) for (name, _), outcome in found)
    shown = [outcome for outcome in OUTCOMES if any(key_[1] == outcome for key_ in counts)]
    table = Table(title=f"{len(found):,} cases, {seconds:.0f} s")
    table.add_column("kind")
    for column in ("cases", *shown):
        table.add_column(column, justify="right")
    for name in dict.fromkeys(
        name for (name, _), _ in sorted(found, key=lambda one: list(BY_NAME).index(kind_of(one[0][0]).name))
    ):
        row = [counts[name, outcome] for outcome in shown]
        table.add_row(name, str(sum(row)), *(str(count) if count else "" for count in row))
    totals = [sum(count for (_, one), count in counts.items() if one == outcome) for outcome in shown]
    table.add_section()
    table.add_row("all", str(sum(totals)), *map(str, totals))
    console.print(table)
    # In one line each: what is not a fault, and why.
    explained = {(n, one.name, one.detail) for (n, _), one in found if one.name in (HARMLESS, UNUSED)}
    for name, outcome, reason in sorted(explained):
        console.print(f"{name}: {outcome}: {reason}")
    faults = collections.defaultdict(list)
    for case, outcome in found:
        if not outcome.good:
            faults[case[0], key(outcome)].append((case, outcome))
    for cases in sorted(faults.values(), key=len, reverse=True)[:SHOWN]:
        (name, seed), outcome = min(cases, key=lambda one: one[0][1])
        console.print(f"{len(cases)} × {outcome.name}: --kind {name} --seed {seed}: {outcome.where} {outcome.detail}")
    if len(faults) > SHOWN:
        console.print(f"and {len(faults) - SHOWN} more")


if __name__ == "__main__":
    main()
