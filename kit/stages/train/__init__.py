"""``kit train``: every run on every fold.

`train` starts one process per unit, after `plan` has said what it will take; `fold` is what such a process does: a
description in, files out. TensorFlow is loaded in those processes alone, by `trainer`, `networks` and `features`.
"""
