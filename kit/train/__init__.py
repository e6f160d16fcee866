"""``kit train``: every run on every fold.

`stage` plans and starts one process per unit; `fold` is what such a process does: a description in, files out.
Nothing outside `fold`, `networks`, `loop`, `batches` and `features` loads TensorFlow.
"""
