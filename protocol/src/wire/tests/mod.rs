//! Messages on the wire: their exact bytes, and what other bytes do.

mod golden;
mod hostile;
mod samples;

use libp2p_identity::ed25519;

use self::samples::{membership, presentation, samples, snapshot};
use super::*;

use crate::access::team::{
    ACTION_BYTES_MAX, Action, EpochSecret, MembershipProof, Operation, Redemption, SignedOperation,
    Tag, Team, UnknownAction,
};
use crate::access::{
    Binding, Grant, HolderSecret, Nonce, Presentation, Rights, Scope, SignedGrant,
};
use crate::bounded::{List, Text};
use crate::have::RangeSet;
use crate::id::{PageId, SnapshotId, TeamId};
use crate::peer::PeerKey;
use crate::snapshot::{ProfileId, Shape, Snapshot};

const REQUEST: RequestId = RequestId(0x0102_0304_0506_0708);

fn keypair(seed: u8) -> ed25519::Keypair {
    HolderSecret::from_bytes([seed; 32]).keypair()
}

fn list<T, const MAX: usize>(items: Vec<T>) -> List<T, MAX> {
    List::new(items).expect("few")
}

fn head(message: &Message, payload_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_head(message, payload_bytes, &mut bytes);
    bytes
}

/// Reads a head as a node does; an error without a cause means that bytes are missing.
fn read(bytes: &[u8]) -> Result<(Prefix, Message), Option<FrameError>> {
    let (prefix, rest) = bytes.split_first_chunk().ok_or(None)?;
    let prefix = Prefix::parse(prefix)?;
    let header = rest.get(..prefix.header_bytes()).ok_or(None)?;
    Ok((prefix, prefix.message(header)?))
}

#[test]
fn every_kind_has_a_sample_and_comes_back_as_it_was_sent() {
    let samples = samples();
    for kind in Kind::ALL {
        assert!(samples.iter().any(|(m, _)| m.kind() == *kind), "{kind:?}");
        assert_eq!(Kind::from_number(*kind as u8), Some(*kind));
    }
    for (message, payload_bytes) in samples {
        let (prefix, read) = read(&head(&message, payload_bytes)).expect("what was sent");
        assert_eq!(read, message);
        assert_eq!(prefix.payload_bytes(), payload_bytes);
    }
}

#[test]
fn the_longest_messages_fit_into_their_headers() {
    use super::limits::*;
    let snapshot = snapshot().id();
    let base = Base {
        position: 0,
        snapshot,
        start: 0,
        end: 1,
    };
    let address = format!(
        "{}:65535",
        vec!["a".repeat(63); 4].join(".")[..253].to_owned()
    );
    let page = PageHead {
        page: PageId::of(b""),
        codec: PageCodec::ZstdWithBase(PageId::of(b"")),
        plain_length: 10,
        length: 1,
    };
    let neighbour = Neighbour {
        peer: PeerKey::of(&keypair(4)),
        addresses: list(vec![
            address.parse().expect("longest");
            NEIGHBOUR_ADDRESSES_MAX
        ]),
    };
    let messages: Vec<(Message, usize)> = vec![
        (
            Hello::new(
                Features(u64::MAX),
                Nonce([0; 32]),
                &"x".repeat(1000),
                list(vec![
                    address.parse().expect("longest");
                    LISTEN_ADDRESSES_MAX
                ]),
            )
            .into(),
            0,
        ),
        (
            Bye {
                reason: ByeReason::Done,
                detail: Text::cut(&"x".repeat(1000)),
            }
            .into(),
            0,
        ),
        (
            PageRequest {
                request: REQUEST,
                snapshot,
                pages: list(vec![PageId::of(b""); REQUEST_PAGES_MAX]),
            }
            .into(),
            0,
        ),
        (
            Pages {
                request: REQUEST,
                last: false,
                pages: list(vec![page; REQUEST_PAGES_MAX]),
            }
            .into(),
            REQUEST_PAGES_MAX,
        ),
        (
            RunRequest {
                request: REQUEST,
                snapshot,
                ranges: (0..RUN_RANGES_MAX as u64)
                    .map(|i| i * 2..i * 2 + 1)
                    .collect(),
                codecs: Codecs::RAW,
                priority: 0,
                bases: list(
                    (0..RUN_BASES_MAX as u64)
                        .map(|position| Base { position, ..base })
                        .collect(),
                ),
            }
            .into(),
            0,
        ),
        (
            Neighbours {
                snapshot,
                peers: list(vec![neighbour; NEIGHBOURS_MAX]),
            }
            .into(),
            0,
        ),
    ];
    for (message, payload_bytes) in messages {
        let bytes = head(&message, payload_bytes);
        assert!(
            read(&bytes).is_ok_and(|(_, read)| read == message),
            "{:?}",
            message.kind()
        );
    }
}

#[test]
fn the_longest_proof_fits_into_the_messages_that_carry_it() {
    let root = PeerKey::of(&keypair(1));
    let binding = Binding {
        client: root,
        server: root,
        nonce: Nonce([0; 32]),
    };
    let unknown = UnknownAction::new(99, vec![0; ACTION_BYTES_MAX]).expect("as long as may be");
    let operation = Operation {
        team: TeamId::of(root.as_bytes()),
        author: root,
        sequence: 1,
        previous: Some(crate::id::OperationId::of(b"")),
        when_unix_s: 0,
        action: Action::Unknown(unknown),
    };
    let longest = vec![SignedOperation::sign(operation, &keypair(1)); 2];
    let bytes = crate::codec::encode(&longest);
    let proof: MembershipProof =
        crate::codec::decode_canonical::<_, 4096>(&bytes).expect("as long as may be");
    let tag = Tag::of_client(&root, &binding);
    let messages: [(Message, usize); 4] = [
        (
            Enter {
                tag,
                proof: Some(proof.clone()),
            }
            .into(),
            0,
        ),
        (
            Entered {
                tag,
                proof: proof.clone(),
            }
            .into(),
            limits::FRAME_PAYLOAD_BYTES_MAX,
        ),
        (Welcome { proof }.into(), 0),
        (
            Redeem {
                redemption: Redemption::new(&TeamId::of(b""), &keypair(6), &binding),
                name: Text::cut(&"x".repeat(1000)),
            }
            .into(),
            0,
        ),
    ];
    for (message, payload_bytes) in messages {
        let bytes = head(&message, payload_bytes);
        assert!(read(&bytes).is_ok_and(|(_, read)| read == message));
    }
}

#[test]
fn pages_come_apart_at_their_lengths() {
    let pages = samples().into_iter().find_map(|sample| match sample {
        (Message::Pages(pages), 320) => Some(pages),
        _ => None,
    });
    let pages = pages.expect("two pages are among the samples");
    let payload: Vec<u8> = (0..320).map(|i| (i / 300) as u8).collect();
    let parts: Vec<_> = pages.split(&payload).map(|(_, bytes)| bytes).collect();
    assert_eq!(parts, [&payload[..300], &payload[300..]]);
    assert_eq!(
        pages.split(&payload[..310]).count(),
        1,
        "nothing beyond the end"
    );
}

#[test]
fn features_that_nobody_here_knows_are_ignored() {
    let (mine, theirs) = (Features::TEAM, Features(u64::MAX));
    assert_eq!(mine.common(theirs), Features::TEAM);
    assert!(!mine.contains(Features::ZSTD));
}

#[test]
fn raw_is_always_allowed_and_nothing_else_unasked() {
    let based = Codec::ZstdWithBase {
        snapshot: SnapshotId::of(b""),
        start: 0,
        end: 1,
    };
    for (codecs, zstd, base) in [
        (Codecs::RAW, false, false),
        (Codecs::ZSTD, true, false),
        (Codecs::ZSTD_WITH_BASE, false, true),
    ] {
        assert!(codecs.allows(&Codec::Raw));
        assert_eq!(codecs.allows(&Codec::Zstd), zstd);
        assert_eq!(codecs.allows(&based), base);
    }
}

#[test]
fn an_admission_is_checked_against_the_grant() {
    let Some((Message::Admitted(mut admitted), _)) = samples().into_iter().nth(2) else {
        panic!("the samples changed");
    };
    let grant = presentation().grant.grant;
    assert!(admitted.answers(&grant));
    admitted.snapshot.bytes += 1;
    assert!(!admitted.answers(&grant));
}
