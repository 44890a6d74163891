#!/usr/bin/env bash
# Runs the Job after a deploy, prints its log (the report), and ends with the exit code of `check`:
# 0 pass, 1 fail, 2 wrong configuration, 3 inconclusive, which is also that nothing is known of it.
#   check.sh [SECONDS]      wait for its end so long, 900 by default
set -euo pipefail
cd "$(dirname "$0")"
name=obs-validator-check limit=${1:-900}
k() { kubectl --namespace obs-validator "$@"; }
status() { k get pods --selector "batch.kubernetes.io/job-name=$name" --output "jsonpath={.items[0].status.$1}" 2>/dev/null || true; }
given_up() { k get job "$name" --output 'jsonpath={.status.conditions[?(@.type=="Failed")].reason}' 2>/dev/null || true; }

k delete job "$name" --ignore-not-found --wait >&2
k apply --kustomize . --selector "app.kubernetes.io/component!=check" >&2
k rollout status deployment/obs-validator-collector --timeout 120s >&2
k apply --kustomize . --selector "app.kubernetes.io/component=check" >&2
SECONDS=0 code=
until [ -n "$code" ]; do
  code=$(status 'containerStatuses[0].state.terminated.exitCode')
  [ -n "$code" ] && break
  reason=$(given_up)
  if [ "$reason" = DeadlineExceeded ] || [ "$SECONDS" -ge "$limit" ]; then
    echo "obs-validator: the job has not ended: ${reason:-after $limit s}; $(status 'phase'), $(status 'containerStatuses[0].state.waiting.reason')" >&2
    k logs "job/$name" || true
    exit 3
  fi
  sleep 1
done
k logs "job/$name"
exit "$code"
