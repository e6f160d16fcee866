"""``kit bundle``: a self-contained zip that has run before it counts."""

from kit.bundle.contents import MODEL, PACKAGE
from kit.bundle.stage import against, bundle

__all__ = ["MODEL", "PACKAGE", "against", "bundle"]
