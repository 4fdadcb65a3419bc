"""What the larger commands do, with what they show: `training`, `benchmark`, `importing`, and all in `demo`."""
