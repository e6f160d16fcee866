"""``kit forecast``: the score before it is known, and whether the test is like the training set.

`entries` brings the predictions of runs and ensembles to one shape, `kit.judge.shift` does the arithmetic, `testset`
looks at the test images, `forecast` shows the result.
"""
