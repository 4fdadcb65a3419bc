"""Data that others annotated or computed, brought into the forms of this project.

- `ava`: key-frame annotations to a manifest and labels, for movies that are yet to be extracted
- `mstcn`: 50Salads, Breakfast and GTEA, features and all, to a features folder
- `rhas133`: RHAS133's features and pickles to a features folder
- `rhas133_pickles`: what RHAS133's pickles say; `plain_pickle`, `plain_values`: pickles read as data, not run
- `files`, `arrays`, `frames`: folders and texts, `.npy` features, and labels by frame
- `dataset`, `movie`: the features folder itself, written movie by movie and resumed
"""
