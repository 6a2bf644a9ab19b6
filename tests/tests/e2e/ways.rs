//! What carries bytes where not everything gets through.

use shoal_tests::data;
use shoal_tests::shoal::Home;

#[test]
fn a_sharer_without_tcp_is_reached_over_quic_and_peers_says_why() {
    let (alice, bob) = (Home::new(), Home::new());
    let source = alice.outside().join("data.bin");
    let bytes = data::bytes("ways", 2_000_000);
    std::fs::write(&source, &bytes).unwrap();
    let listen = ["-c", "listen=127.0.0.1:0", "-c", "ways=quic"];
    let source = source.to_string_lossy();
    let mut sharing = alice.start(&[&["share", &*source][..], &listen[..]].concat());
    let ticket = sharing.line();
    let mut up = bob.start(&["up", "-c", "listen=127.0.0.1:0"]);
    assert!(up.stderr_line(|line| line.contains("listens on")).is_some());
    let dest = bob.outside().join("got.bin");
    bob.run(&["get", ticket.trim(), &dest.to_string_lossy()])
        .ok();
    assert!(std::fs::read(&dest).unwrap() == bytes);
    let peers = bob.run(&["--json", "peers"]).ok().stdout;
    let peer: serde_json::Value = serde_json::from_str(peers.lines().next().unwrap()).unwrap();
    assert_eq!(peer["link"]["way"], "quic", "{peer}");
    let why = peer["link"]["why"].as_str().unwrap();
    assert!(why.starts_with("TCP does not get through"), "{why}");
    sharing.kill();
}

#[test]
fn a_way_that_there_is_not_is_refused_by_name() {
    let home = Home::new();
    let refused = home.run(&["status", "-c", "ways=pigeon"]);
    assert_eq!(refused.code(), 2);
    assert!(refused.stderr.contains("pigeon"), "{}", refused.stderr);
}
