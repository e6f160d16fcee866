"""``kit report``: what a project knows, as one page that opens from the disk."""

from kit.report.stage import report

__all__ = ["report"]
