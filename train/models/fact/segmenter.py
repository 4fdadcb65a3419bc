"""FACT as a `Segmenter`: the videos of a batch one after the other, so that none knows of padding.

Its scores are those of the frames, and those of the tokens. The paper mixes both by a weight for each data set; here
that is a read-out (`readout.shares`), given or chosen on the validation split. It waits for a GPU: for labels and costs
once a step, since matching is done on the CPU, and where frames are cut (`cuts`). No graph can hold that, so it
isn't compiled.

Shapes: B batch, T frames, C classes, N = C + 1 classes of tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rhas.manifests.common.errors import InputError, Problem
from rhas.train.models.fact.blocks import BlockOutput
from rhas.train.models.fact.config import FACTConfig
from rhas.train.models.fact.losses import block_losses, target_of
from rhas.train.models.fact.matching import matched
from rhas.train.models.fact.model import FACT
from rhas.train.models.fact.scores import scores_of
from rhas.train.models.fact.truth import runs_of, truth_of
from rhas.train.models.layers.precision import without_autocast
from rhas.train.models.losses import weighted
from rhas.train.models.segmenter import SupervisedSegmenter
from rhas.train.models.streams import Streams

if TYPE_CHECKING:
    from rhas.train.data import Batch, SampleSet
    from rhas.train.data.generators import Generators


class FACTSegmenter(SupervisedSegmenter):
    """FACT on one stream or both."""

    one_graph = False
    null_weight: Tensor

    def __init__(self, feature_size: int, classes: int, config: FACTConfig):
        super().__init__(classes, config.link)
        self.config = config
        self.streams = Streams(config.stream, feature_size)
        self.fact = FACT(self.streams.feature_size, classes, config.network, config.link, config.time_mask)
        # What no tokens taken on average would give; `prepare` knows better.
        self.register_buffer("null_weight", torch.tensor(config.losses.null or 1 / classes))

    def prepare(self, training: SampleSet) -> None:
        """Weights of background and of tokens that stand for nothing; says where tokens don't suffice.

        Raises InputError for too few tokens to weigh those that are left.
        """
        background = list(training.vocabulary.background_indices)
        self.class_weight_C[background] *= self.config.losses.background
        shared, tokens = self.config.matching.kind == "o2m", self.config.network.tokens
        runs = [runs_of(labels_TC & valid_T[:, None]) for labels_TC, valid_T in training.labels()]
        needed = [len(set(own.classes_S.tolist()) if shared else own.classes_S) for own in runs]
        if lacking := [count - tokens for count in needed if count > tokens]:
            what = "classes" if shared else "segments"
            self.remarks = (
                f"warning: {len(lacking)} of {len(needed)} samples to train on have more {what}, up to {max(needed)}, "
                f"than the {tokens} tokens (network.tokens): {sum(lacking)} of {sum(needed)} go without one",
            )
        if self.config.losses.null is None:
            taken = sum(needed) / len(needed)
            if taken >= tokens:
                expected = (
                    f"more than {taken:.1f}, which a sample takes on average; or a weight of losses.null"
                )
                column = "settings.network.tokens"
                raise InputError(Problem("training config", expected, column=column, value=tokens))
            self.null_weight.fill_(tokens / ((tokens - taken) * self.classes))

    def losses(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        """Losses of each block, of which the mean is minimised: `block1_frames_cross_entropy` and so on."""
        y_BCT = batch.labels_BCT if batch.soft_labels_BCT is None else batch.soft_labels_BCT
        weight_N = torch.cat([self.class_weight_C, self.null_weight[None]])
        with without_autocast(y_BCT):
            outputs = self._outputs(batch, generators)
            truths = truth_of(batch.labels_BCT, batch.valid_BT, generators.lengths)
            pairs = matched([blocks[-1] for blocks in outputs], truths, self.config.matching)
            found: dict[str, list[Tensor]] = {}
            for blocks, y_CT, truth, own in zip(outputs, y_BCT, truths, pairs, strict=True):
                y_CT = y_CT[:, : len(truth.counts_T)]
                target = target_of(y_CT, truth, own, self.config.network.tokens, weight_N)
                for number, block in enumerate(blocks, start=1):
                    losses = block_losses(block, target, self.link, self.config.losses.over_classes)
                    for name, loss in losses.items():
                        found.setdefault(f"block{number}_{name}", []).append(loss)
        weights = {**self.config.losses.weights, "attention": self.config.losses.attention}
        shares = {kind: weight / len(self.config.network.blocks) for kind, weight in weights.items()}
        return weighted({name: torch.stack(each) for name, each in found.items()}, shares)

    @torch.no_grad()
    def predict(self, batch: Batch, generators: Generators) -> Tensor:
        """The frames' scores in [0, 1] [B, C, T], zero in the padding; nothing is drawn. In eval mode only."""
        return self.heads(batch, generators)["frames"]

    @torch.no_grad()
    def heads(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        """Scores of the `frames`, and of the `tokens` that they look at, by the last block. In eval mode only."""
        assert not self.training, "predict draws no dropout: call eval() first"
        with without_autocast(batch.mask_BT):
            videos = [scores_of(blocks[-1], self.link) for blocks in self._outputs(batch, generators)]
        names = videos[0].keys()
        padded = {name: pad_sequence([own[name] for own in videos], batch_first=True) for name in names}
        return {name: scores_BTC.transpose(1, 2) for name, scores_BTC in padded.items()}

    def _outputs(self, batch: Batch, generators: Generators) -> list[list[BlockOutput]]:
        """What the blocks say of each video."""
        features_BFT = self.streams(batch)
        return [
            self.fact(features_BFT[b, :, :frames].T, generators.alone(b) if self.training else None)
            for b, frames in enumerate(generators.lengths)
        ]
