"""Prints the speakers of prepared data, all but one."""

import argparse
from pathlib import Path

from hra_cli.data.task_index import load_tasks

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("data", type=Path)
parser.add_argument("--without", required=True)
arguments = parser.parse_args()

index = load_tasks(arguments.data)
index.select([arguments.without])
print(*(name for name in index.names if name != arguments.without))
