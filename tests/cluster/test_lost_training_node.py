"""A training that loses a node goes on without it, and ends with what it would have had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray.cluster_utils import Cluster
from recording_callback import Record
from toy_segmenter import toy_config, toy_features

from rhas.train.fitting.loop import Step
from rhas.train.fitting.ray_train import train_distributed
from rhas.train.fitting.training import train
from rhas.train.runs.checkpoint import read_tensors


@pytest.fixture
def cluster() -> Iterator[Any]:
    if ray.is_initialized():  # other tests' own
        ray.shutdown()
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield made
    made.shutdown()


class Axe(Record):
    """Takes a node away after some steps, once."""

    def __init__(self, cluster: Any, node: Any, after: int):
        super().__init__()
        self.cluster, self.node, self.after = cluster, node, after

    def stepped(self, step: Step) -> None:
        super().stepped(step)
        if self.node is not None and step.step >= self.after:
            node, self.node = self.node, None
            self.cluster.remove_node(node, allow_graceful=False)


def test_a_training_that_loses_a_node_ends_with_the_weights_that_it_would_have_had(
    cluster: Any, tmp_path: Path
) -> None:
    features = toy_features(tmp_path / "features")
    settings = ("epochs=200", "validate_every=100", "checkpoint_every=20", "optimiser.lr=0.002")
    train(features, tmp_path / "one", toy_config("batch=4", *settings), "cpu")
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    axe = Axe(cluster, nodes[1], 100)
    config = toy_config("batch=2", *settings)
    train_distributed(features, tmp_path / "two", config, workers=2, address=cluster.address, callbacks=[axe])
    steps = [step.step for step in axe.steps]
    assert steps[-1] == axe.steps[0].steps and len(steps) > steps[-1], "some steps were done again"
    one, two = (
        read_tensors(max((tmp_path / name / "checkpoints").glob("step-*.safetensors")))[0]
        for name in ("one", "two")
    )
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5)
