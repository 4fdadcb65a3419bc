"""A run's folder: what `rhas train` leaves, and what all else opens. `run`: the folder; `checkpoint`: its weights."""
