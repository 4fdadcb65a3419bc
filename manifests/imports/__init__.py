"""Data that others annotated or computed, brought into the forms of this project.

- `ava`: key-frame annotations to a manifest, labels and boxes, for movies that are yet to be extracted;
  `ava_boxes`: its boxes; `label_map`: its actions by id
- `mstcn`: 50Salads, Breakfast and GTEA, features and all, to a features folder; `mstcn_lists`: their classes and folds
- `multilabel`: Charades, MultiTHUMOS and TSU to a features folder; `multilabel_json`: their annotations
- `rhas133`: RHAS133's features and pickles to a features folder
- `rhas133_places`, `rhas133_options`, `rhas133_samples`, `rhas133_pickles`: where its files lie, how they are read,
  which samples there are, what its pickles say; `plain_pickle`, `plain_values`: pickles read as data, not run
- `files`, `arrays`, `frames`: folders and texts, `.npy` features, and labels by frame
- `dataset`, `movie`: the features folder itself, written movie by movie and resumed
"""
