#!/bin/bash
# A pipeline on Slurm: Ray on all nodes of the allocation, the pipeline on the first of them, and its end with it.
#   sbatch --nodes=2 --gpus-per-node=8 docker/slurm.sh pipeline.yaml
# Movies, outputs and the environment (RHAS, by default .venv of the folder it is submitted from) lie on a path that all
# nodes share. A node that fails is done without; a job that is requeued goes on where it was.
#SBATCH --job-name=rhas
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --no-kill
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
#SBATCH --output=rhas-%j.log
#SBATCH --open-mode=append
set -euo pipefail

pipeline=$(realpath --canonicalize-existing "${1:?usage: sbatch docker/slurm.sh pipeline.yaml}")
bin=$(realpath --canonicalize-existing "${RHAS:-${SLURM_SUBMIT_DIR:-.}/.venv}/bin")
nodes=${SLURM_JOB_NUM_NODES:-1}
# This runs on the first node. Where its name means loopback, others can't use that.
address=$(hostname --ip-address | tr ' ' '\n' | grep --invert-match '^127\.' | head --lines=1 || true)
address=${address:-$(hostname --all-ip-addresses | awk '{print $1}')}
port=$((20000 + SLURM_JOB_ID % 10000))  # so that two jobs on a node don't meet
# A token of this job's own: who else is on these machines can't use its cluster.
RAY_AUTH_TOKEN=$(od -A n -t x1 -N 32 /dev/urandom | tr -d ' \n')
export PATH="$bin:$PATH" RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token RAY_AUTH_TOKEN

# shellcheck disable=SC2016  # the shells on the nodes expand it
srun --nodes="$nodes" --ntasks="$nodes" --cpu-bind=none --kill-on-bad-exit=0 --no-kill bash -c '
    if [ "$SLURM_NODEID" = 0 ]; then
        exec ray start --head --block --node-ip-address="$1" --port="$2" --include-dashboard=false
    fi
    # Until the first node is in its own cluster, which takes longer than answering: nodes that join before that fail.
    until ray status --address="$1:$2" | grep "^ 1 node_"; do sleep 2; done >/dev/null 2>&1
    exec ray start --block --address="$1:$2"' ray "$address" "$port" &
cluster=$!
trap 'kill -TERM "$cluster" 2>/dev/null || true; wait "$cluster" || true' EXIT

# Python and Ray come over the network on many nodes at once, which may take minutes.
until=$((SECONDS + ${RHAS_NODES_WAIT_S:-600}))
until there=$(ray status --address="$address:$port" 2>/dev/null | grep --count '^ 1 node_') && ((there >= nodes)); do
    if ((SECONDS > until)) || ! kill -0 "$cluster" 2>/dev/null; then
        echo "slurm.sh: ${there:-0} of $nodes nodes have started Ray; see what they say above" >&2
        exit 1
    fi
    sleep 2
done

rhas run "$pipeline" --address "$address:$port" &
run=$!
# Slurm's warning comes to this script alone and is passed on. When it cancels or requeues, all processes get it, and a
# second one would end the pipeline at once: then this sleep has ended as well.
sleep infinity &
witness=$!
disown "$witness"
trap 'sleep 0.5; kill -TERM "$witness" 2>/dev/null && kill -TERM "$run" 2>/dev/null || true' TERM
code=0
wait "$run" || code=$?
while kill -0 "$run" 2>/dev/null; do  # the wait ended with a signal, which was passed on
    code=0
    wait "$run" || code=$?
done
kill -TERM "$witness" 2>/dev/null || true
exit "$code"
