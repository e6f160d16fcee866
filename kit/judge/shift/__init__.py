"""Is the test like the training set, and what will it do to the score? Pure functions on arrays.

`adversarial` asks the pictures, `priors` asks the models' outputs, `signals` are the label-free estimates of
accuracy from the literature, `drawn`, `past` and `forecast` put them together.
"""
