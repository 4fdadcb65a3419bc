"""ASQuery (Gan et al., ICME 2024): a query for each class, which becomes that class's scores over time.

- `segmenter`: it as a `Segmenter`; `model`: the network put together; `config`: its settings
- `backbone`, `pyramid`, `decoder`: features at six time scales, three of them mixed, and what queries read from those
- `losses`; `refinement`: scores that hold from one boundary to the next
- `released`: the authors' checkpoints
"""
