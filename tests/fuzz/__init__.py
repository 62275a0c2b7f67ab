"""Mutated old files, by the thousand: nothing but a MigrationError may come of them.

`python -m tests.fuzz --minutes 60` is the long run.
"""
