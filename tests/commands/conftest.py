import pytest

from hra_cli.app import main


@pytest.fixture
def refused(capfd):
    """Runs hra in this process and returns its one line of error."""

    def run(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        error = capfd.readouterr().err
        assert stopped.value.code == 2
        lines = [line for line in error.splitlines() if not line.startswith(("decoding", "training", "fetching"))]
        assert len(lines) == 1, error
        assert lines[0].startswith("hra: error: ")
        return lines[0]

    return run
