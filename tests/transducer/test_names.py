"""What the command line shows of searches and losses."""

import subprocess
import sys


def test_names_and_options_are_there_without_torch():
    """Help and completion would wait seconds for it."""
    code = (
        "import sys; from hra_cli.transducer import names, search_options; search_options.SearchOptions();"
        "assert names.SEARCHES and names.RNNT_TYPES and names.LOSSES;"
        "print(*{'torch', 'lhotse', 'k2'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
