"""The documented door to the blend: `kit.blend.fit`; what is behind it lives in `kit.judge.blend`."""

from kit.judge.blend import Blend, Options, fit

__all__ = ["Blend", "Options", "fit"]
