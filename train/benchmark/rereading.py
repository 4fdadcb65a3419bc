"""The weights of one run read otherwise, as a run of its own: another head, other smoothing, fewer sampling steps.

In: a run that is trained, and a config that differs from its own in nothing that shapes weights. Out: a run's folder as
training leaves it, with these weights and a read-out chosen anew on the validation split. Doing it again, as after a
kill, ends with the same. The test split is left to `rhas.train.evaluation.evaluation`.
"""

from __future__ import annotations

from pathlib import Path

from rhas.manifests.common.atomic import remove_leftovers
from rhas.manifests.common.errors import InputError
from rhas.manifests.common.lock import locked
from rhas.train.config import FREE, TrainConfig, refused_changes
from rhas.train.data import load_dataset
from rhas.train.device import chosen_device
from rhas.train.evaluation.evaluation import evaluate_run
from rhas.train.fitting.training import resolved
from rhas.train.fitting.validation import prior_for, validate
from rhas.train.models.registry import boundary_sigma
from rhas.train.runs.building import build_for
from rhas.train.runs.run import RunFolder, Validation, check_data, data_record, open_run, write_run
from rhas.train.runs.settings import READING, check_postprocess


def reread(
    source: Path, out: Path, config: TrainConfig, features: Path, device: str | None = None
) -> Validation:
    """Makes the run `out` of the best weights of `source`; returns its validation.

    Raises InputError for settings that would take other weights, and for data that `source` wasn't trained on.
    """
    device = chosen_device(device)
    config, trained = resolved(config, device), open_run(source, device)
    expected = "as the weights were trained with it"
    before = trained.config.to_dict()
    if problems := refused_changes(
        trained.folder.config, before, config.to_dict(), expected, (*READING, *FREE)
    ):
        raise InputError(problems)
    dataset = load_dataset(features, config.data, boundary_sigma(config.model, config.settings))
    check_data(trained.folder, data_record(features, dataset), trained.data)
    model = build_for(config, trained.data).to(device)
    model.load_state_dict(trained.model.state_dict())
    check_postprocess(model, config)
    folder = RunFolder(out)
    with locked(folder.lock):
        remove_leftovers(out)
        chosen = trained.validation
        prior = prior_for(config, dataset.splits["train"])
        validation = validate(model, dataset.splits["val"], config, chosen.step, chosen.epoch, prior)
        write_run(folder, config, trained.data, model, validation)
        evaluate_run(out, "val", features, device)
    return validation
