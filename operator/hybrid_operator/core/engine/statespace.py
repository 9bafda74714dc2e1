"""State space models (Mamba): a state of fixed size per request instead of keys and values.

Sources: `MambaMixer`, `MambaMixer2` and `MambaStateShapeCalculator` of vLLM's
`model_executor/layers/mamba`.
"""

from __future__ import annotations

import msgspec


class Mamba(msgspec.Struct, frozen=True):
    """Mamba of the first kind (Jamba): every channel has a state of its own."""

    inner: int
    """Channels."""
    state: int
    """Elements of a channel's state."""
    kernel: int
    """Tokens of the convolution."""
    rank: int
    """Of the matrix that makes the time step (mamba_dt_rank)."""

    def state_bytes(self, gpus: int) -> int:
        """Return what one of `gpus` GPUs keeps of a request: convolution and state, 16-bit."""
        return self.inner // gpus * (self.kernel - 1 + self.state) * 2


class Mamba2(msgspec.Struct, frozen=True):
    """Mamba of the second kind (Nemotron-H, Granite 4, Falcon-H1): heads share a state's shape."""

    heads: int
    head_dimension: int
    groups: int
    """Sets of matrices that heads share."""
    state: int
    """Elements of a state for each element of a head."""
    kernel: int
    """Tokens of the convolution."""
    norm: bool = True
    element_bytes: int = 2
    """Of the recurrent state."""

    @property
    def inner(self) -> int:
        """Channels: all heads together."""
        return self.heads * self.head_dimension

    def groups_on(self, gpus: int) -> int:
        """Return the groups on one of `gpus` GPUs; where they do not divide, each has a copy."""
        return max(1, self.groups // gpus)

    def parts(self, gpus: int) -> int:
        """Return of how many matrices vLLM makes its input projection."""
        return 1 if self.groups % gpus else 5

    def state_bytes(self, gpus: int) -> int:
        """Return what one of `gpus` GPUs keeps of a request: convolution and state."""
        convolved = self.inner // gpus + 2 * self.groups_on(gpus) * self.state
        recurrent = self.heads // gpus * self.head_dimension * self.state
        return convolved * (self.kernel - 1) * 2 + recurrent * self.element_bytes
