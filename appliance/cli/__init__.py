"""The command line: one thin module for each command or group.

`commands.py` names them all; a module is imported only when its command is used, and offers either
`app`, a `typer.Typer` with subcommands, or `command`, a function. `main.py` is the edge where errors
become sentences and exit codes. Every command has an example in its help.
"""
