"""RAVAR, stage 2: of one person in one clip the actions and the box, from what `rhas ravar extract` stored.

- `config`: which system, and how it is trained; `data`: clips in memory; `systems`: RefAtomNet and what it has to beat
- `fitting`: training into a run's folder; `measuring`: a split, beside the constant; `table`: several systems and seeds
"""
