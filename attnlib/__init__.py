"""Attention weights, derived: NumPy in, NumPy out; torch in, torch out."""

from attnlib.layer import attention, scores, softmax, streaming_attention

__all__ = ["attention", "scores", "softmax", "streaming_attention"]
__version__ = "0.1.0"
