"""A made world: films of articulated persons whose looks, boxes and actions are known to the frame.

`looks` says how persons differ and `references` how a sentence tells them apart; `lives` lets them act and
move, `figure` draws one of them, `places` what is around them, `film` puts a film together and `writing` writes films
with manifest, labels and truth. `training` fits small models of the real architectures to it.

Everything follows from a seed. Streams keep apart what must not meet: `FILMS` are for experiments, `TRAINING` for
fitting the shipped models, `HELD_OUT` for measuring them.
"""

FILMS, TRAINING, HELD_OUT = 0, 1, 2
