"""``kit compare``: what the difference between runs is worth, and whether it is one.

`effects` is the statistics, `stage` reads the runs' files, `show` puts both in tables and words.
"""
