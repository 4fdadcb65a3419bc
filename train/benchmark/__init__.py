"""A benchmark: several systems, each with several seeds, trained under one budget and measured on the same test splits.

bench/
  data.json            the features folder, and a digest of what it held
  runs/SYSTEM-seedK/   a run each (see `rhas.train.runs.run`), and in it planned.yaml: its config; log.txt: what
                       its processes said; steps.csv and cost.json: see `rhas.train.benchmark.cost`; from.txt: the
                       run whose weights it reads, if it has none of its own
  runs.csv             a row for each: seed, config, status, every metric; and for each seed those of the baselines
  table.csv, table.md, table.tex   mean ± standard deviation over seeds, beside the baselines; intervals of macro F1@50
  differences.csv      how far each system is from the first, in pairs of runs
  table.png            macro F1@50: a dot for each run, the mean with its 95 % interval
  anticipation.csv, anticipation.md    with `--task anticipation`: what comes next, every number and by protocol

- `plan`: systems, base config, seeds and folds to the config of each run, checked against what is there already
- `cost`: seconds and memory of a run, over interruptions
- `rereading`: the weights of one system read otherwise by another
- `bootstrap`: intervals over movies and seeds
- `results`: what was measured, as data frames; `tables`: these as files; `anticipation`: both, of what comes next

Training, and what happens when one fails, are left to `rhas.pipeline.programs.benchmark`.
"""
