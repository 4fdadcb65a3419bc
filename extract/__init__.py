"""Stage 1: films and sentences to feature shards. Start reading at `rhas.extract.run.run`."""
