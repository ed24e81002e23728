"""The subcommands: options in, one call, rendering out.

At the top of a command's module stands only what is light, the options and their defaults; its function imports the
rest. So help and completion come at once: torch alone takes seconds.
"""
