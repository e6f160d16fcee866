"""The competition kit for image classification on Kaggle and Codabench."""

__version__ = "0.1.0"
