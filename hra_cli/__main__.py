"""`python -m hra_cli`: the same as `hra`."""

from hra_cli.app import main

if __name__ == "__main__":
    main()
