"""What `fewview` can do, a dataclass a command: its fields are the options, `run` does the work.

Nothing heavy is imported before a command runs, so that `fewview --help` answers at once.
"""
