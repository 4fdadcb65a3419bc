"""What the persons of a movie do: lives of several kinds, each in a file.

`layers` is what a life is made of and what can be drawn of it. `ordinary` lets persons act and move as they please;
the other kinds change what the hands of such persons do: in `memory` it depends on what was long ago, in `long_tail`
it is one of many things, most of them rare. `kinds` knows them all by name.
"""

from rhas.pipeline.world.lives.layers import FPS, HANDS, POSTURES, Lives
from rhas.pipeline.world.lives.ordinary import ACTIONS, live

__all__ = ["ACTIONS", "FPS", "HANDS", "POSTURES", "Lives", "live"]
