"""The command line: parse, call, print. Every stage is imported in the body of its command."""

from kit.cli import models, send  # each adds its commands, in the order that --help shows
from kit.cli.app import app, spread

__all__ = ["app", "models", "send", "spread"]
