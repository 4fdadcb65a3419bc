"""What users hand in, as tables: read strictly, every problem told with its row.

- `manifest`, `labels`, `vocabulary`, `boxes`, `folds`: a file each; `inputs`: those of one extraction together
- `csvfile`: a file to a `table` of columns; `cells`: what a single cell may hold
"""
