"""``kit compare``: what the difference between runs is worth, and whether it is one.

`effects` is the statistics, `compare` reads the runs' files and puts both in tables and words.
"""
