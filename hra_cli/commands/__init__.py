"""The subcommands: options in, one call, rendering out.

A command's module imports only the options and their defaults, which is fast; its function imports the rest. So help
and completion come at once: importing torch alone takes seconds.
"""
