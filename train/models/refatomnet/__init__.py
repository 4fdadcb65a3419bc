"""RefAtomNet (Peng et al., ECCV 2024, "Referring Atomic Video Action Recognition", arXiv:2407.01872): tokens of a
picture, of the sentence and of places, each looked at by a few agents, whose maps guide what is taken from the picture.

- `segmenter`: it as a `Segmenter`, frame by frame: tokens of the whole frame, of the person, and of the sentence
- `config`: its settings; `agents`: a stream's block; `model`: the three streams, what joins them, and the heads
- `clips`: it as in the paper, for one person in one clip: what a detector found, classes and a box
- `released`: the authors' checkpoints

Built from the paper and the numbers of the code that its authors released (github.com/KPeng9510/RAVAR, snapshot of
2024-10-02, MIT); none of that code is in here.
"""
