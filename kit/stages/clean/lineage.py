"""What the cleaned data are made from."""

from kit.config import Config
from kit.images.sources import RawSet
from kit.stages.clean.decoded import Source
from kit.store.data import UnlabelledRecord
from kit.store.files import sha256_file, sha256_json
from kit.store.layout import Layout
from kit.store.record import Digests

# Raised whenever the same raw images would give other data.
VERSION = 4


def lineage(layout: Layout, config: Config, raw: RawSet) -> Digests:
    """What the cleaned data are made from."""
    return {
        "clean": str(VERSION),
        "raw": raw.fingerprint,
        "classes": sha256_json(raw.classes),
        "settings": sha256_json(config.clean.model_dump(mode="json")),
        "overrides": sha256_file(layout.overrides) if layout.overrides.exists() else "",
        # Since the index names the rows of the split; other data stay fresh.
        **({"roles": "1"} if config.data.validation else {}),
        **Source(raw, config.data, layout.root).made_from,
    }


def lineage_of_unlabelled(layout: Layout, config: Config, given: RawSet) -> Digests:
    """What images without labels are made from."""
    told = {"clean": str(VERSION), "raw": given.fingerprint, "ids": sha256_json(given.ids)}
    return told | Source(given, config.data, layout.root).made_from


def is_fresh(layout: Layout, config: Config, part: str, given: RawSet | None) -> bool:
    """Whether a part is stored as it is ``given``, or nothing is left of it where it is given no more."""
    if given is None:
        return not any(path(part).exists() for path in (layout.images_of, layout.index_of, layout.manifest_of))
    return UnlabelledRecord.fresh(layout.manifest_of(part), lineage_of_unlabelled(layout, config, given)) is not None
