"""The files between the stages: typed records, what each was made from, and the locks around them.

`record` is the base of every record and hashes files once, `files` keeps writers and readers apart.
"""
