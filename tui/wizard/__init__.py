"""The wizard: one page a file, in the order of `pages.py`; the same pages are the settings later."""
