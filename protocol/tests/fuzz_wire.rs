//! Runs the bodies of the fuzz targets for the network and for pasted text on what proptest
//! makes up: cargo-fuzz needs a nightly toolchain, this does not.

#![allow(missing_docs)]

#[path = "../../fuzz/src/wire.rs"]
mod bodies;

use proptest::collection::vec;
use proptest::prelude::*;

/// The messages of `wire/tests/golden.txt` with their payloads, as one stream.
fn honest() -> Vec<Vec<u8>> {
    let lines = include_str!("../src/wire/tests/golden.txt").lines();
    let frames = lines.map(|line| {
        let mut words = line.split(' ').skip(1);
        let mut word = || words.next().expect("kind, payload, hex");
        let payload: usize = word().parse().expect("a length");
        let mut bytes = data_encoding::HEXLOWER
            .decode(word().as_bytes())
            .expect("hex");
        bytes.resize(bytes.len() + payload, 0);
        bytes
    });
    frames.collect()
}

#[test]
fn an_honest_stream_is_read_to_its_end() {
    assert_eq!(bodies::frame(&honest().concat()), honest().len());
}

proptest! {
    #[test]
    fn streams(order in vec(any::<prop::sample::Index>(), 1..6), damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)) {
        let frames = honest();
        let mut stream: Vec<u8> = order.iter().flat_map(|i| i.get(&frames).clone()).collect();
        for (at, byte) in damage {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        bodies::frame(&stream);
    }

    #[test]
    fn tickets(at in any::<prop::sample::Index>(), byte: u8) {
        let mut text = include_bytes!("../src/access/tests/ticket.txt").to_vec();
        bodies::ticket(&text);
        let at = at.index(text.len());
        text[at] = byte;
        bodies::ticket(&text);
    }

    #[test]
    fn invitations(at in any::<prop::sample::Index>(), byte: u8) {
        let mut text = golden("invitation").as_bytes().to_vec();
        bodies::invitation(&text);
        let at = at.index(text.len());
        text[at] = byte;
        bodies::invitation(&text);
    }
}

/// What stands behind `word` in the golden vectors of teams.
fn golden(word: &str) -> &'static str {
    let lines = include_str!("../src/access/team/tests/golden.txt").lines();
    let mut found = lines.filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
    found.next().expect("it is there")
}
