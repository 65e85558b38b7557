"""The command line: one thin module a command group, heavy imports inside the commands."""
