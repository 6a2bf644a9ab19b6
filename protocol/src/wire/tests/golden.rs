//! The exact bytes of every message. A change here is a change of the protocol: it needs a
//! new version, or a feature.

use super::*;

/// One line a sample: the kind, the payload's length, prefix and header in hex.
const GOLDEN: &str = include_str!("golden.txt");

#[test]
fn messages_have_the_bytes_that_they_always_had() {
    let lines = samples().into_iter().map(|(message, payload_bytes)| {
        let hex = data_encoding::HEXLOWER.encode(&head(&message, payload_bytes));
        format!("{:?} {payload_bytes} {hex}\n", message.kind())
    });
    let now: String = lines.collect();
    assert_eq!(
        now, GOLDEN,
        "the bytes of messages changed; they are now:\n{now}"
    );
}
