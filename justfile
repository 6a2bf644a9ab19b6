# `just` lists the recipes; `just check` does what CI does.

default:
    @just --list

# Format, lints, tests, docs: what CI runs.
check:
    .ci/run

# The story on this machine: three nodes, share, get, edit, update.
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# The whole program beside the tools people use today.
bench *ARGS:
    cargo build --release --workspace
    cargo run --release -p shoal-tests --bin bench -- {{ARGS}}

# One source and many receivers in a lab of network namespaces; as root, with iproute2 and iperf3.
fanout *ARGS:
    cargo build --release --workspace
    cargo run --release -p shoal-tests --bin bench -- fanout {{ARGS}}

# A fan-out in the lab beside the same one simulated: fails where they differ by more than 15 %; as root, like `fanout`.
calibrate *ARGS:
    cargo build --release --workspace
    cargo run --release -p shoal-tests --bin bench -- calibrate {{ARGS}}

# Several sources, and two sites with a slow link between them; as root, like `fanout`.
swarm *ARGS:
    cargo build --release --workspace
    cargo run --release -p shoal-tests --bin bench -- swarm {{ARGS}}

# Sources that lost a part, lie or freeze, receivers that come late or are killed; as root, like `fanout`.
faults *ARGS:
    cargo build --release --workspace
    cargo run --release -p shoal-tests --bin bench -- faults {{ARGS}}

# A get while others do harm to who serves it: crowds, floods, silence (--attacks A,B); as root, like `fanout`.
abuse *ARGS:
    cargo build --release --workspace
    cargo run --release -p shoal-tests --bin bench -- abuse {{ARGS}}

# A first fetch of text over a slow link, beside incompressible bytes; as root, like `fanout`.
text *ARGS:
    cargo build --release --workspace
    cargo run --release -p shoal-tests --bin bench -- text {{ARGS}}

# A line with delay, loss and reordering (--delay MS --loss % --mbit N); as root, like `fanout`.
path *ARGS:
    cargo build --release --workspace
    cargo run --release -p shoal-tests --bin bench -- path {{ARGS}}

# A seed and two members behind NATs: which way a transfer takes, and when the relay is cut (--mbit N --delay MS); as root, like `fanout`.
nats *ARGS:
    cargo build --release --workspace
    cargo run --release -p shoal-tests --bin bench -- nats {{ARGS}}

# Links alone, by TCP and QUIC, over lines with delay and loss (--seconds S --mbit N); as root, like `fanout`.
links *ARGS:
    cargo build --release --workspace
    cargo run --release -p shoal-tests --bin bench -- links {{ARGS}}

# What moves for an edit: versions kept, rsync beside it, and shared in place.
edits *ARGS:
    cargo build --release --workspace
    cargo run --release -p shoal-tests --bin bench -- edits {{ARGS}}

# A full sweep of one of thirty nodes, beside a provider record for each key (--chunks N --advert-rate RATE); as root, like `fanout`.
advertise *ARGS:
    cargo build --release --workspace
    cargo run --release -p shoal-tests --bin bench -- advertise {{ARGS}}

# Thirty nodes of a team on loopback that know one address: how soon each finds what another adds.
thirty *ARGS:
    cargo build --release --workspace
    tests/bench/thirty.sh {{ARGS}}

# A simulation: fanout, sites, sweep, lookup, churn, liars, partition, nats (--nodes N --seed S --plot FILE.svg).
simulate *ARGS:
    cargo run --release -p shoal-simulations -- {{ARGS}}

# Every scenario with many seeds: 1,000 at up to 64 nodes, 20 at 1,000, one at 5,000.
simulation-campaign:
    cargo build --release -p shoal-simulations
    simulations/campaign.sh

# The parts: chunking, paged list, codec, packs, index, link.
bench-parts:
    cargo bench -p shoal-protocol -p shoal-store -p shoal-node

# Every crash point of the long workload (CI runs a short one).
crash-campaign:
    SHOAL_CAMPAIGN=large cargo test --release -p shoal-store crash -- --nocapture

# Ten kills of the getter, and ten of the sharer, in gets of 2 GiB (CI takes shorter ones).
resume-campaign:
    cargo build --release --workspace
    SHOAL_CAMPAIGN=large cargo test --release --workspace --test e2e resume -- --nocapture --test-threads=1

# Fuzz one parser of outside bytes: ticket, invitation, team, frame, page, manifest, path, snapshot, pack.
fuzz TARGET SECONDS="60":
    cargo +nightly fuzz run --fuzz-dir fuzz {{TARGET}} -- -max_total_time={{SECONDS}}

# Advisories, licences, duplicate versions.
deny:
    cargo deny check
