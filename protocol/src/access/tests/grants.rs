//! Grants and presentations, as facts.

use super::super::grant::CLOCK_TOLERANCE_S;
use super::*;
use crate::codec::{decode_canonical, encode};

#[test]
fn a_grant_has_the_bytes_the_id_and_the_signature_that_it_always_had() {
    let signed = signed(1, 2);
    let golden = include_str!("grant.txt");
    let now = format!("{}\n{}\n", hex(&encode(&signed)), signed.id());
    assert_eq!(now, golden, "it is now:\n{now}");
}

#[test]
fn a_grant_holds_in_its_time_give_or_take_ten_minutes() {
    let tolerance = CLOCK_TOLERANCE_S;
    let expired = |ago_s| Err(GrantError::Expired { ago_s });
    for (now, expected) in [
        (BEGIN, Ok(())),
        (END, Ok(())),
        (END + tolerance, Ok(())),
        (END + tolerance + 1, expired(tolerance + 1)),
        (u64::MAX, expired(u64::MAX - END)),
        (BEGIN - tolerance, Ok(())),
        (
            BEGIN - tolerance - 1,
            Err(GrantError::NotYet {
                ahead_s: tolerance + 1,
            }),
        ),
        (0, Err(GrantError::NotYet { ahead_s: BEGIN })),
    ] {
        assert_eq!(signed(1, 2).check(now), expected, "at {now}");
    }
    let endless = Grant {
        expires_unix_s: None,
        ..grant(1, 2)
    };
    assert_eq!(
        SignedGrant::sign(endless, &keypair(1)).check(u64::MAX),
        Ok(())
    );
    let last = Grant {
        expires_unix_s: Some(u64::MAX),
        ..grant(1, 2)
    };
    assert_eq!(SignedGrant::sign(last, &keypair(1)).check(u64::MAX), Ok(()));
}

#[test]
fn no_change_to_a_grant_keeps_its_signature() {
    let bytes = encode(&signed(1, 2));
    let mut decoded = 0;
    for at in 0..bytes.len() {
        for bit in [1, 0x80] {
            let mut bytes = bytes.clone();
            bytes[at] ^= bit;
            if let Ok(forged) = decode_canonical::<SignedGrant, 1024>(&bytes) {
                assert_eq!(
                    forged.check_signature(),
                    Err(GrantError::Signature),
                    "byte {at}"
                );
                decoded += 1;
            }
        }
    }
    assert!(decoded > bytes.len(), "most damage still decodes");
}

#[test]
fn a_grant_signed_by_another_than_it_names_gives_nothing() {
    let mut forged = signed(1, 2);
    forged.grant.issuer = key(3);
    assert_eq!(forged.check(BEGIN), Err(GrantError::Signature));
    let as_proof = Presentation::new(signed(1, 2), &keypair(1), &binding());
    forged = SignedGrant {
        grant: grant(1, 2),
        signature: as_proof.proof,
    };
    assert_eq!(forged.check(BEGIN), Err(GrantError::Signature));
}

fn binding() -> Binding {
    Binding {
        client: key(4),
        server: key(1),
        nonce: Nonce([9; 32]),
    }
}

#[test]
fn a_presentation_admits_on_its_own_connection_only() {
    let presentation = Presentation::new(signed(1, 2), &keypair(2), &binding());
    assert_eq!(presentation.check(BEGIN, &binding()), Ok(()));
    for (elsewhere, what) in [
        (
            Binding {
                client: key(5),
                ..binding()
            },
            "another client",
        ),
        (
            Binding {
                server: key(5),
                ..binding()
            },
            "another server",
        ),
        (
            Binding {
                nonce: Nonce([8; 32]),
                ..binding()
            },
            "another connection",
        ),
        (
            Binding {
                client: key(1),
                server: key(4),
                ..binding()
            },
            "sent back",
        ),
    ] {
        let checked = presentation.check(BEGIN, &elsewhere);
        assert_eq!(checked, Err(PresentationError::Proof), "{what}");
    }
}

#[test]
fn a_grant_without_its_holders_secret_admits_nobody() {
    let stolen = Presentation::new(signed(1, 2), &keypair(4), &binding());
    assert_eq!(
        stolen.check(BEGIN, &binding()),
        Err(PresentationError::Proof)
    );
    let mut swapped = Presentation::new(signed(1, 2), &keypair(2), &binding());
    swapped.grant = SignedGrant::sign(
        Grant {
            nonce: [8; 16],
            ..grant(1, 2)
        },
        &keypair(1),
    );
    assert_eq!(
        swapped.check(BEGIN, &binding()),
        Err(PresentationError::Proof)
    );
}

#[test]
fn an_expired_grant_admits_nobody_however_well_it_is_presented() {
    let presentation = Presentation::new(signed(1, 2), &keypair(2), &binding());
    let checked = presentation.check(END + 601, &binding());
    let expired = GrantError::Expired { ago_s: 601 };
    assert_eq!(checked, Err(PresentationError::Grant(expired)));
}

#[test]
fn a_right_that_is_not_known_here_gives_nothing_here() {
    let unknown: Rights = decode_canonical::<_, 8>(&encode(&(1u32 << 9))).expect("kept");
    assert!(!unknown.contains(Rights::READ));
}
