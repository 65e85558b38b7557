"""One module a kind of sender, each with a `KIND`; `register.py` finds them by looking here.

A module says what to paste for each transport that this forwarder has open, how to check that it
works, which traps are known, and where each statement comes from, with its date.
"""
