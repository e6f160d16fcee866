"""Is the test like the training set, and what will it do to the score? Pure functions on arrays.

`pictures` asks the pictures, `outputs` what models say of them, `consensus` all models together; `forecast` and `past`
make scores of it.
"""
