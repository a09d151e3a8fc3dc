#!/usr/bin/env bash
# One Pride search on all nodes of a Slurm job. The arguments of the script are passed to `pride`:
#
#   sbatch workers/clusters/slurm.sh search first --name NAME
#   sbatch workers/clusters/slurm.sh resume NAME
#
# Needs `pride`, `ray` and `python` on PATH (activate the venv first) and a home folder that all nodes share.
#SBATCH --job-name=pride
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
# For GPUs, with one worker each, remove one # here:
##SBATCH --gpus-per-node=1
#SBATCH --time=04:00:00
# Five minutes before the time ends, the search is asked to finish the work in progress; `resume` continues it.
#SBATCH --signal=B:TERM@300
set -euo pipefail
umask 077

export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
RAY_AUTH_TOKEN_PATH=$(mktemp "$HOME/.pride-token-$SLURM_JOB_ID-XXXXXX")
export RAY_AUTH_TOKEN_PATH
unset RAY_AUTH_TOKEN  # Ray would prefer it to the file
python -c 'import secrets; print(secrets.token_hex(32), end="")' >"$RAY_AUTH_TOKEN_PATH"

steps=()
finish() {
    kill "${steps[@]}" 2>/dev/null || true
    wait || true
    rm -f "$RAY_AUTH_TOKEN_PATH"
}
trap finish EXIT

# The script that runs on each node until it gets SIGTERM: Ray, with its files in a private folder.
# shellcheck disable=SC2016
node='
    folder=$(mktemp -d "/tmp/pride-ray-$SLURM_JOB_ID-XXXXXX")
    ray start "$@" --node-ip-address="$(hostname -I | cut -d" " -f1)" --temp-dir="$folder/ray" \
        --num-cpus="${SLURM_CPUS_PER_TASK:-1}" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" \
        --object-store-memory=104857600 --disable-usage-stats --block >"$folder/log" 2>&1 &
    trap "kill $!" TERM INT
    status=0
    wait $! || status=$?
    wait || true
    if [ "$status" -ne 0 ] && [ "$status" -lt 128 ]; then cat "$folder/log" >&2; fi
    rm -rf "$folder"
'
start_on() {  # node, options of `ray start`
    srun --nodes=1 --ntasks=1 --overlap --nodelist="$1" bash -c "$node" node "${@:2}" &
    steps+=($!)
}

# Slurm runs this script on the first node.
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
address=$(hostname -I | cut -d" " -f1):$((20000 + SLURM_JOB_ID % 10000))  # Ray's workers use 10002 to 19999
start_on "${nodes[0]}" --head --port="${address##*:}" --include-dashboard=false --dashboard-host=127.0.0.1
until (exec 3<>"/dev/tcp/${address/://}") 2>/dev/null; do
    kill -0 "${steps[0]}" 2>/dev/null || { echo "Ray did not start on ${nodes[0]}" >&2; exit 1; }
    sleep 1
done
for other in "${nodes[@]:1}"; do
    start_on "$other" --address="$address"
done

python - "$address" "${#nodes[@]}" <<'PYTHON'
import sys
import time

import ray

address, wanted = sys.argv[1], int(sys.argv[2])
ray.init(address=address, log_to_driver=False, logging_level="ERROR")
end_s = time.monotonic() + 300
while (up := sum(node["Alive"] for node in ray.nodes())) < wanted and time.monotonic() < end_s:
    time.sleep(1)
print(f"{up} of {wanted} nodes are up", file=sys.stderr)
PYTHON

pride "$@" --address "$address" &
search=$!
trap 'kill -TERM "$search" 2>/dev/null' TERM INT
status=0
wait "$search" || status=$?
while kill -0 "$search" 2>/dev/null; do  # a signal ended the wait, not the search
    status=0
    wait "$search" || status=$?
done
exit "$status"
