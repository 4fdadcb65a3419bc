"""Stage 1: films and sentences to feature shards. Start reading at `extract.run`."""
