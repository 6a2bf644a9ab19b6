//! The bytes of everything about a team that is hashed, signed or pasted. A change here
//! gives other ids to what teams have said.

use super::invitations::{invitation, record, redemption};
use super::*;
use crate::access::{Binding, Nonce};
use crate::codec::{decode_canonical, encode};

/// One line a thing: what it is, and its text or its bytes in hex.
const GOLDEN: &str = include_str!("golden.txt");

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// One operation of every kind, each behind the one before.
fn story() -> Vec<SignedOperation> {
    let mut team = empty();
    let named = say(&mut team, ROOT, name_admin(ANN));
    let admitted = say(&mut team, ANN, admit_until(MIA, Some(NOW + 60)));
    let forever = say(&mut team, ANN, admit(NED));
    let epoch = say(&mut team, ANN, epoch(7, 7));
    let later = say(&mut team, ANN, later_action(77));
    let cut = team.last_of(&key(ANN));
    let revoked = say(&mut team, ROOT, revoke(ANN, cut));
    let left = say(&mut team, MIA, revoke(MIA, None));
    vec![named, admitted, forever, epoch, later, revoked, left]
}

#[test]
fn everything_has_the_bytes_that_it_always_had() {
    let binding = Binding {
        client: key(MIA),
        server: key(ANN),
        nonce: Nonce([9; 32]),
    };
    let root = key(ROOT);
    let mut lines = vec![
        format!("root {}", hex(root.as_bytes())),
        format!("team {}", empty().id()),
        format!(
            "client-tag {}",
            hex(&encode(&Tag::of_client(&root, &binding)))
        ),
        format!(
            "server-tag {}",
            hex(&encode(&Tag::of_server(&root, &binding)))
        ),
    ];
    let mut team = empty();
    for signed in story() {
        lines.push(format!("operation {}", hex(&signed.to_bytes())));
        lines.push(format!("id {}", signed.id()));
        team.merge([signed]);
    }
    let proof = team.proof_of(&key(MIA)).expect("admitted");
    lines.push(format!("proof {}", hex(&encode(&proof))));
    lines.push(format!("heads {}", hex(&team.heads().to_bytes())));
    lines.push(format!("invitation {}", invitation().to_text()));
    lines.push(format!("redemption {}", hex(&encode(&redemption()))));
    lines.push(format!("record {}", hex(&record().to_bytes())));
    let now = lines.join("\n") + "\n";
    assert_eq!(now, GOLDEN, "it is now:\n{now}");
}

#[test]
fn no_change_to_an_operation_keeps_its_signature() {
    let mut decoded = 0;
    for signed in story() {
        let bytes = signed.to_bytes();
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            if let Ok(forged) = SignedOperation::from_bytes(&bytes) {
                assert_eq!(forged.to_bytes(), bytes);
                assert!(!forged.is_signed(), "byte {at} of {:?}", signed.operation);
                decoded += 1;
            }
        }
    }
    assert!(decoded > 1000, "most damage still decodes: {decoded}");
}

#[test]
fn a_known_action_with_another_body_is_no_operation() {
    let signed = &story()[0];
    let bytes = signed.to_bytes();
    let name_at = bytes.len() - 64 - "admin-1".len();
    assert_eq!(&bytes[name_at..name_at + 7], b"admin-1");
    let mut control = bytes.clone();
    control[name_at] = 7;
    assert!(SignedOperation::from_bytes(&control).is_err());
    assert!(decode_canonical::<Operation, 1024>(&bytes[..bytes.len() - 65]).is_err());
}

#[test]
fn a_tag_is_for_one_team_one_connection_and_one_side() {
    let binding = Binding {
        client: key(MIA),
        server: key(ANN),
        nonce: Nonce([9; 32]),
    };
    let root = key(ROOT);
    let tag = Tag::of_client(&root, &binding);
    assert_eq!(tag, Tag::of_client(&root, &binding));
    let swapped = Binding {
        client: binding.server,
        server: binding.client,
        ..binding
    };
    let later = Binding {
        nonce: Nonce([8; 32]),
        ..binding
    };
    for other in [
        Tag::of_server(&root, &binding),
        Tag::of_client(&key(BOB), &binding),
        Tag::of_client(&root, &swapped),
        Tag::of_client(&root, &later),
    ] {
        assert!(tag != other);
    }
}
