#!/bin/bash
# A pipeline on Slurm: a Ray cluster over all nodes of the allocation, the pipeline in it, and its end with it.
#   sbatch --nodes=2 --gpus-per-node=8 docker/slurm.sh pipeline.yaml
# Films, outputs and the environment (RHAS, by default .venv of the folder it is submitted from) lie on a path that all
# nodes share. A job that is requeued goes on where it was.
#SBATCH --job-name=rhas
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --signal=TERM@120
#SBATCH --output=rhas-%j.log
set -euo pipefail

pipeline=$(realpath "${1:?usage: sbatch docker/slurm.sh pipeline.yaml}")
bin=${RHAS:-${SLURM_SUBMIT_DIR:-.}/.venv}/bin
nodes=${SLURM_JOB_NUM_NODES:-1}
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 10000))  # so that two jobs on a node don't meet
export PATH="$bin:$PATH" RAY_USAGE_STATS_ENABLED=0

# Starts Ray on every node, waits for all of them, runs the command on the first, and stops Ray.
srun --nodes="$nodes" --ntasks="$nodes" --kill-on-bad-exit=1 \
    ray symmetric-run --address "$address:$port" --min-nodes "$nodes" -- \
    rhas run "$pipeline" --address auto
