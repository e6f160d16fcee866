"""``kit stress``: held-out pictures corrupted (blur, noise, ...) and predicted by the networks that never saw them.

`stress` plans and starts one process per fold; `worker` is such a process.
"""
