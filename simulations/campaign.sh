#!/usr/bin/env bash
# Every scenario with many seeds. Ends at the first broken promise, whose seed it tells.
set -euo pipefail
cd "$(dirname "$0")/.."
run="${CARGO_TARGET_DIR:-target}/release/shoal-simulations"
for scenario in churn liars partition nats; do
  "$run" "$scenario" --nodes 4,8,16 --seeds "${SEEDS:-300}"
  "$run" "$scenario" --nodes 64 --seeds "${SEEDS_64:-100}"
  "$run" "$scenario" --nodes 1000 --seeds "${SEEDS_1000:-20}"
  "$run" "$scenario" --nodes 5000 --seeds "${SEEDS_5000:-1}"
done
