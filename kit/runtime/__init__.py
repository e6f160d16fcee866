"""What predicts: the same code inside the kit and inside the submitted zip.

Nothing here imports the rest of the kit, only NumPy and TensorFlow/Keras, and the syntax is Python 3.10's, the
oldest that the platforms' images run. The bundle carries this package whole, as ``kit_runtime``.
"""
