"""Stage 1: movies and sentences to feature shards. Start reading at `rhas.extract.run.run`."""
