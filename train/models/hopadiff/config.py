"""What a HopaDIFF is configured by. Defaults: the paper's text, Section 5.1.

The rows of Table 5 are one setting each:

| without               | setting                          |
|-----------------------|----------------------------------|
| the partial branch    | `partial_branch: false`          |
| HP-xLSTM              | `hp_xlstm: null`                 |
| BCA                   | `hp_xlstm: {cross_gates: false}` |
| the Fourier condition | `fourier: {variant: none}`       |

Without the partial branch there is nothing to attend to, and `cross_gates` has no effect. Without all of them
what is left is ActDiff on holistic features.
"""

from __future__ import annotations

from collections.abc import Iterator

from rhas.train.models.actdiff.config import ActDiffConfig
from rhas.train.models.hopadiff.fourier import FourierConfig
from rhas.train.models.hopadiff.hp_xlstm import HPxLSTMConfig
from rhas.train.models.losses import BoundaryConfig, LossConfig


class HopaDIFFConfig(ActDiffConfig):
    """A HopaDIFF but for the sizes that the data decides. Encoder and decoder are those of each branch."""

    partial_branch: bool = True
    hp_xlstm: HPxLSTMConfig | None = HPxLSTMConfig()
    fourier: FourierConfig = FourierConfig()
    shared_condition: bool = False
    """Each decoder is conditioned on what both branches see, not on its own branch only: in the paper, the other one
    is felt through the gates of HP-xLSTM alone, and the mean of a good and a poor branch is worse than the good one."""
    fused_head: bool = False
    """One more head, which reads the features of both branches after HP-xLSTM: the encoders' own heads come before it,
    and each sees one branch."""
    # Binary cross entropy and boundary loss "equally weighted"; of a smoothing loss the paper says nothing.
    losses: LossConfig = LossConfig(cross_entropy=1.0, smoothing=0.0)
    boundary: BoundaryConfig = BoundaryConfig(weight=1.0)

    def conflicts(self) -> Iterator[tuple[str, str]]:
        width = self.encoder.condition_channels
        if self.hp_xlstm is not None and width % self.hp_xlstm.heads:
            yield "hp_xlstm.heads", f"a divisor of {width}, the channels of the encoder's condition"
