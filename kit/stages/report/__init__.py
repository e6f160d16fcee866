"""``kit report``: what a project knows, as one page that opens from the disk."""
