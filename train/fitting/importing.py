"""Weights that authors released, as a run: to evaluate and predict with, and for other runs to begin with.

In: a checkpoint, the config of the model that it is of, and either the data that it is for, as a features folder, or
its actions and feature size. Out: a run's folder, as if it had been trained, at step 0. With features, τ is chosen
on their validation split, as in training; without, it is .5 where a frame may have several labels. The order of the
classes can't be seen in weights: it has to be that of the features folder, or of the actions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import cast

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.lock import locked
from rhas.manifests.tables.manifest import SPLITS
from rhas.manifests.tables.vocabulary import Vocabulary
from rhas.train.config import TrainConfig
from rhas.train.data import Dataset, load_dataset
from rhas.train.device import chosen_device
from rhas.train.fitting.training import check_link, resolved
from rhas.train.fitting.validation import prior_for, validate
from rhas.train.metrics.evaluate import HALF
from rhas.train.models.actdiff import released as actdiff
from rhas.train.models.actdiff.segmenter import ActDiffSegmenter
from rhas.train.models.actfusion import released as actfusion
from rhas.train.models.actfusion.segmenter import ActFusionSegmenter
from rhas.train.models.asformer import released as asformer
from rhas.train.models.asformer.segmenter import ASFormerSegmenter
from rhas.train.models.asquery import released as asquery
from rhas.train.models.asquery.segmenter import ASQuerySegmenter
from rhas.train.models.fact import released as fact
from rhas.train.models.fact.segmenter import FACTSegmenter
from rhas.train.models.futr import released as futr
from rhas.train.models.futr.segmenter import FUTRSegmenter
from rhas.train.models.ltcontext import released as ltcontext
from rhas.train.models.ltcontext.segmenter import LTContextSegmenter
from rhas.train.models.mstcn import released as mstcn
from rhas.train.models.mstcn.segmenter import MSTCNSegmenter
from rhas.train.models.refatomnet import released as refatomnet
from rhas.train.models.registry import boundary_sigma
from rhas.train.models.segmenter import Segmenter
from rhas.train.runs.building import build_for
from rhas.train.runs.checkpoint import digest_of
from rhas.train.runs.run import RunFolder, Validation, data_record, write_run
from rhas.train.runs.settings import check_postprocess

QUERY_TOKENS = 32  # of a BLIP-2, where no features tell
# Each gives the names of what it left out.
LOADERS: dict[str, Callable[[Segmenter, Path], list[str]]] = {
    "actdiff": lambda model, file: actdiff.load_released(cast(ActDiffSegmenter, model).actdiff, file),
    "actfusion": lambda model, file: actfusion.load_released(cast(ActFusionSegmenter, model).actfusion, file),
    "asformer": lambda model, file: asformer.load_released(cast(ASFormerSegmenter, model).asformer, file),
    "asquery": lambda model, file: asquery.load_released(cast(ASQuerySegmenter, model).asquery, file),
    "fact": lambda model, file: fact.load_released(cast(FACTSegmenter, model).fact, file),
    "futr": lambda model, file: futr.load_released(cast(FUTRSegmenter, model).futr, file),
    "ltcontext": lambda model, file: ltcontext.load_released(cast(LTContextSegmenter, model).ltcontext, file),
    "refatomnet": lambda model, file: refatomnet.load_released(model, file),
    "mstcn": lambda model, file: mstcn.load_released(cast(MSTCNSegmenter, model).mstcn, file),
}


def import_weights(
    checkpoint: Path, out: Path, config: TrainConfig, features: Path | None = None,
    vocabulary: Vocabulary | None = None, feature_size: int | None = None, device: str | None = None,
) -> Validation:  # fmt: skip
    """Makes the run's folder `out`; returns what its weights were found to be worth.

    Give `features`, or `vocabulary` and `feature_size`. Raises InputError for a checkpoint that isn't of the config's
    model, and for a folder that holds a run.
    """
    if config.model not in LOADERS:
        expected = f"a model whose authors released weights: {', '.join(sorted(LOADERS))}"
        raise InputError(Problem("training config", expected, column="model", value=config.model))
    device = chosen_device(device)
    config = resolved(config, device)
    folder = RunFolder(out)
    if folder.config.exists():
        raise InputError(Problem("--out", "a folder that holds no run", value=str(out)))
    dataset = None
    if features is not None:
        dataset = load_dataset(features, config.data, boundary_sigma(config.model, config.settings))
        data = data_record(features, dataset)
    else:
        assert vocabulary is not None and feature_size is not None, "got neither features nor sizes"
        data = {
            "features": None, "extraction": None, "models": None, "feature_size": feature_size,
            "actions": list(vocabulary.actions), "left_out": {}, "samples": {name: [] for name in SPLITS},
        }  # fmt: skip
        if config.data.tokens == "all":
            data["tokens"] = config.settings["tokens"] or QUERY_TOKENS
    model = build_for(config, data)
    left_out = LOADERS[config.model](model, checkpoint)
    model = model.to(device)
    validation = _validated(model, config, features, dataset)
    digest = digest_of(checkpoint)
    data["imported"] = {"given": str(checkpoint.absolute()), "sha256": digest, "left_out": left_out}
    with locked(folder.lock):
        write_run(folder, config, data, model, validation)
    return validation


def _validated(
    model: Segmenter, config: TrainConfig, features: Path | None, dataset: Dataset | None
) -> Validation:
    if features is None or dataset is None:
        check_postprocess(model, config)
        if config.readout.decoding == "durations":
            expected = "none, or null: how long actions last is learnt from labels, which --shards would have"
            raise InputError(
                Problem("training config", expected, column="readout.decoding", value="durations")
            )
        readout = config.readout.start(HALF if model.link == "sigmoid" else None)
        return Validation(0, 0, readout, math.nan)
    check_link(model, config, dataset, features)
    prior = prior_for(config, dataset.splits["train"])
    return validate(model, dataset.splits["val"], config, 0, 0, prior)
