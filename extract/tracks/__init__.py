"""Tracks: who is meant, decided over a whole movie instead of in each frame by itself.

Pass one looks at sparse samples of every window (`sparse`, `looking`): what the detector finds for each sentence, and
how everybody seen looks. When a movie's windows are there, `link` decides on a CPU: where shots begin (`shots`),
which sights in a shot are of one person (`linking`, for the ids of tracks), what speaks for whom (`evidence`), along
whose path (`paths`), who gets which sight, over cuts too (`assignment`), and where they are between two
(`interpolation`). Pass two crops by these boxes and encodes.

Nothing here knows workers or files, and `link` knows no borders of windows, so that results don't depend on them.
"""
