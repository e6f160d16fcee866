"""The files between the stages: typed records, what each was made from, and the locks around them.

`record` is the base of every record, `digests` hashes files once, `files` keeps writers and readers apart.
"""
