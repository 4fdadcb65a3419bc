"""Tracks: who is meant, decided over a whole movie instead of in each frame by itself.

Pass one looks at sparse samples of every window (`sparse`, `looking`): what the detector finds for each sentence, and
how everybody seen looks. When a movie's windows are there, `link` decides on a CPU: where shots begin (`shots`),
which sights in a shot are of one person (`linking`), what speaks for whom (`evidence`), who gets which track, over
cuts too (`assignment`), and where they are between two sights (`interpolation`). Pass two crops by these boxes and
encodes.

Nothing here knows windows, workers or files, so that results don't depend on them. A tracker of another package
(`outside`) follows persons from sight to sight in pass one; all else stays the same.
"""
