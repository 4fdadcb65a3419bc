"""The kinds of worker of an extraction, as plain classes, of which `ray_pool` makes actors and `local_pool` processes.

`DecodeWorker` runs on a CPU and turns movies into frames, `ModelWorker` holds the models on a GPU (or CPUs)
and turns frames into features, `WriteWorker`s alone write shards, each those of its movies. Where persons are
tracked, model workers first say what they see, and a `LinkWorker` makes a movie's tracks of it. They hold no state
that a restart would lose.
"""

from rhas.extract.run.workers.decoding import DecodeWorker
from rhas.extract.run.workers.linking import LinkWorker
from rhas.extract.run.workers.models import ModelWorker
from rhas.extract.run.workers.tasks import ModelReport, ReadReport, WindowTask, window_task
from rhas.extract.run.workers.writing import WriteWorker

__all__ = [
    "DecodeWorker",
    "LinkWorker",
    "ModelReport",
    "ModelWorker",
    "ReadReport",
    "WindowTask",
    "WriteWorker",
    "window_task",
]
