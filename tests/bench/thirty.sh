#!/usr/bin/env bash
# Thirty nodes of one team on loopback that know one address: how soon is what one of them adds
# found by the others? The searches begin before it is announced. Prints what each step took, in milliseconds, and the memory of the nodes.
# Usage: thirty.sh [NODES [DIR]], after `cargo build --release --workspace`.
set -euo pipefail
cd "$(dirname "$0")/../.."
shoal=$PWD/target/release/shoal
nodes=${1:-30}
dir=$(mktemp -d "${2:-/tmp}/shoal-thirty-XXXXXX")
last=$((nodes - 1))
port=12000

node() {
  local number=$1
  shift
  SHOAL_HOME=$dir/$number/home XDG_RUNTIME_DIR=$dir/$number/run "$shoal" --progress none "$@"
}
# Data ports are ten apart; the control plane is on the next one.
up() {
  mkdir -p "$dir/$1/run"
  quietly "$1" up --detach -c "listen=127.0.0.1:$((port + $1 * 10))" -c mdns=false
}
# What a node says is shown if it could not do what it was told.
quietly() {
  node "$@" >"$dir/said$1" 2>&1 || { sed "s/^/n$1 $2: /" "$dir/said$1" >&2; return 1; }
}
timed() {
  local what=$1 from
  shift
  from=$(date +%s%N)
  "$@"
  printf '%-60s %6d ms\n' "$what" $((($(date +%s%N) - from) / 1000000))
}
finish() {
  for number in $(seq 0 "$last"); do node "$number" down >/dev/null 2>&1 || true; done
  rm -rf "$dir"
}
trap finish EXIT

join_all() { for number in $(seq 1 "$last"); do quietly "$number" team join "$invitation" --my-name "n$number"; done; }
members() { node "$1" --json team members | grep -o '"is_me"' | wc -l; }
know_all() { for number in 3 11 "$last"; do until [ "$(members "$number")" -eq "$nodes" ]; do :; done; done; }
up_all() { for number in $(seq 0 "$last"); do [ "$number" -eq 7 ] || up "$number"; done; }
got() { quietly "$1" get "$id" "$dir/got$1" --timeout 60s && cmp "$dir/data" "$dir/got$1"; }

for number in $(seq 0 "$last"); do up "$number"; done
cd "$dir"
node 0 team create lab --my-name n0 >/dev/null 2>&1
invitation=$(node 0 team invite --uses "$nodes" 2>/dev/null)
timed "joins of $last, one after the other" join_all
timed "until all know all" know_all
head -c 20000000 /dev/urandom >"$dir/data"
id=$(node 7 add "$dir/data" 2>/dev/null)
whereis() { node "$1" whereis "$id"; }
first_byte() { node 23 cat "$id" --length 1 >/dev/null; }
timed "whereis at n23, right after it was added at n7" whereis 23
timed "first byte at n23 (cat)" first_byte
timed "get of 20 MB at n23" got 23
quietly 7 down
timed "get at n15, after the node that added it has left" got 15
for number in $(seq 0 "$last"); do [ "$number" -eq 7 ] || quietly "$number" down; done
timed "restart of all but n7" up_all
timed "get at n28, then" got 28
timed "whereis at n2, with n7 gone" whereis 2
ps -C shoal -o rss= | sort -n | awk '{ a[NR] = $1 } END { print "resident KiB: median " a[int(NR / 2) + 1] ", greatest " a[NR] }'
