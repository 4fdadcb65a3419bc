"""`rhas train`: a segmenter fitted to feature shards, into a run's folder. Start reading at `training`.

- `training`: from a features folder and a config to a run; `loop`: the steps; `validation`: between them
- `initialising`: the weights that a run begins with, of another one; `importing`: those that authors released
- `tensorboard`, `curves`: its logs; `callbacks`: those of others
- `ray_train`: the same on several GPUs or processes, the one file that knows Ray
"""
