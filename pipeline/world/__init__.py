"""A made world: movies of articulated persons whose looks, boxes and actions are known to the frame.

`looks` says how persons differ and `references` how a sentence tells them apart; `lives` lets them act and
move, in worlds of several kinds, `figure` draws one of them, `places` what is around them, `movie` puts a movie
together and `writing` writes movies with manifest, labels and truth. `training` fits small models of the real
architectures to it.

Everything follows from a seed. Streams keep apart what must not meet: `MOVIES` are for experiments, `TRAINING` for
fitting the shipped models, `HELD_OUT` for measuring them.
"""

MOVIES, TRAINING, HELD_OUT = 0, 1, 2
