"""python -m rhas.pipeline.stages.one COMMAND …: `rhas COMMAND …`, which ends when the pipeline that runs it does."""

from __future__ import annotations

from rhas.manifests.common.processes import die_with_parent
from rhas.pipeline.cli import main

if __name__ == "__main__":
    die_with_parent()
    main()
