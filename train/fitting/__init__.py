"""`rhas train`: a segmenter fitted to feature shards, into a run's folder. Start reading at `training`.

- `training`: from a features folder and a config to a run; `loop`: the steps; `tensorboard`: its log
- `ray_train`: the same on several GPUs or processes, the one file that knows Ray
"""
