"""``kit stress``: held-out pictures hurt in known ways and predicted by the networks that never saw them.

`stage` plans and starts one process a fold; `fold` is what such a process does; `show` puts it in tables and pictures.
"""
