//! The bytes of what is said, and bytes that nobody honest says.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::*;
use crate::access::Address;
use crate::bounded::List;
use crate::codec;
use crate::id::{ChunkId, PageId, SnapshotId};
use crate::peer::PeerKey;

fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

fn longest_address() -> Address {
    let label = "a".repeat(63);
    address(&format!("{label}.{label}.{label}.{}:65535", &label[..61]))
}

fn key(byte: u8) -> AdvertKey {
    AdvertKey::from_bytes([byte; 16])
}

fn batch() -> AdvertBatch {
    AdvertBatch {
        epoch: 3,
        addresses: List::new(vec![address("10.0.0.1:4747")]).expect("few"),
        ttl_s: 86_400,
        keys: List::new(vec![key(1), key(2)]).expect("few"),
    }
}

fn found() -> Found {
    let provider = Provider {
        peer: PeerKey::from_bytes([9; 32]),
        addresses: List::new(vec![address("h:1")]).expect("few"),
    };
    let hit = Hit {
        provider: 0,
        age_s: 60,
    };
    Found {
        providers: List::new(vec![provider]).expect("few"),
        keys: List::new(vec![List::new(vec![hit]).expect("few"), List::empty()]).expect("few"),
    }
}

fn locate() -> Locate {
    let chunk = Sought::Chunk(ChunkId::of(b"c"));
    let content = Sought::Content(PageId::of(b"p"));
    Locate {
        sought: List::new(vec![chunk, content]).expect("few"),
    }
}

fn located(index: u16) -> Located {
    let place = Place {
        index,
        snapshot: SnapshotId::of(b"s"),
        position: 77,
    };
    Located {
        places: List::new(vec![place]).expect("few"),
    }
}

/// Golden: a change here is a change of the protocol.
#[test]
fn messages_have_the_bytes_that_they_always_had() {
    let ack = |refusal| AdvertAck {
        accepted: 2,
        refusal,
        ttl_s: 3600,
        share: 50_000,
    };
    let find = Find {
        keys: List::new(vec![key(1)]).expect("few"),
    };
    let lines = [
        batch().to_bytes(),
        ack(None).to_bytes(),
        ack(Some(Refusal::Full)).to_bytes(),
        ack(Some(Refusal::Rate { retry_s: 60 })).to_bytes(),
        ack(Some(Refusal::Ttl)).to_bytes(),
        ack(Some(Refusal::Epoch)).to_bytes(),
        find.to_bytes(),
        found().to_bytes(),
        locate().to_bytes(),
        located(1).to_bytes(),
    ]
    .map(|bytes| data_encoding::HEXLOWER.encode(&bytes) + "\n");
    let now = lines.concat();
    assert_eq!(now, include_str!("golden.txt"), "they are now:\n{now}");
    assert_eq!(
        AdvertBatch::from_bytes(&batch().to_bytes()).expect("well formed"),
        batch()
    );
    assert_eq!(
        Found::from_bytes(&found().to_bytes()).expect("well formed"),
        found()
    );
}

#[test]
fn the_greatest_messages_fit_their_bounds() {
    let addresses = || List::new(vec![longest_address(); PROVIDER_ADDRESSES_MAX]).expect("as many");
    let batch = AdvertBatch {
        addresses: addresses(),
        keys: List::new(vec![key(1); BATCH_KEYS_MAX]).expect("as many"),
        ..batch()
    };
    assert_eq!(
        AdvertBatch::from_bytes(&batch.to_bytes()).expect("it fits"),
        batch
    );
    let find = Find {
        keys: List::new(vec![key(1); FIND_KEYS_MAX]).expect("as many"),
    };
    assert_eq!(Find::from_bytes(&find.to_bytes()).expect("it fits"), find);
    let provider = Provider {
        peer: PeerKey::from_bytes([9; 32]),
        addresses: addresses(),
    };
    let hit = Hit {
        provider: FOUND_PROVIDERS_MAX as u16 - 1,
        age_s: u32::MAX,
    };
    let hits = List::new(vec![hit; KEY_PROVIDERS_MAX]).expect("as many");
    let found = Found {
        providers: List::new(vec![provider; FOUND_PROVIDERS_MAX]).expect("as many"),
        keys: List::new(vec![hits; FIND_KEYS_MAX]).expect("as many"),
    };
    assert_eq!(
        Found::from_bytes(&found.to_bytes()).expect("it fits"),
        found
    );
    let ack = AdvertAck {
        accepted: u32::MAX,
        refusal: Some(Refusal::Rate { retry_s: 1 }),
        ttl_s: 1,
        share: 1,
    };
    assert_eq!(
        AdvertAck::from_bytes(&ack.to_bytes()).expect("it fits"),
        ack
    );
}

#[test]
fn a_hit_of_nobody_is_refused() {
    let mut wrong = found();
    wrong.providers = List::empty();
    let error = Found::from_bytes(&wrong.to_bytes()).expect_err("it names nobody");
    assert!(
        error.to_string().contains("a hit of provider 0 of 0"),
        "{error}"
    );
}

#[test]
fn a_count_beyond_the_bound_is_refused_before_anything_is_allocated() {
    let mut bytes = codec::encode(&(3u64, 0u64, 60u32));
    bytes.extend(codec::encode(&(BATCH_KEYS_MAX as u64 + 1)));
    let error = AdvertBatch::from_bytes(&bytes).expect_err("too many");
    assert!(
        error.to_string().contains("16385 are more than the 16384"),
        "{error}"
    );
    assert!(Find::from_bytes(&codec::encode(&u64::MAX)).is_err());
    assert!(Found::from_bytes(&codec::encode(&(0u64, u64::MAX))).is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_a_message_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(batch) = AdvertBatch::from_bytes(&bytes) {
            prop_assert_eq!(batch.to_bytes(), &bytes[..]);
        }
        if let Ok(found) = Found::from_bytes(&bytes) {
            prop_assert_eq!(found.to_bytes(), &bytes[..]);
        }
        if let Ok(ack) = AdvertAck::from_bytes(&bytes) {
            prop_assert_eq!(ack.to_bytes(), &bytes[..]);
        }
        let _ = Find::from_bytes(&bytes);
    }
}

#[test]
fn a_place_of_something_that_was_not_asked_for_is_refused() {
    let question = locate();
    let read = Located::from_bytes(&located(1).to_bytes(), &question);
    assert_eq!(read.expect("well formed"), located(1));
    assert!(Located::from_bytes(&located(2).to_bytes(), &question).is_err());
}

#[test]
fn the_longest_question_and_answer_about_places_fit_their_bounds() {
    let question = Locate {
        sought: List::new(vec![Sought::Chunk(ChunkId::of(b"c")); LOCATE_IDS_MAX]).expect("fits"),
    };
    let answer = Located {
        places: List::new(vec![located(0).places[0]; LOCATED_PLACES_MAX]).expect("fits"),
    };
    assert!(question.to_bytes().len() <= LOCATE_BYTES_MAX);
    assert!(answer.to_bytes().len() <= LOCATED_BYTES_MAX);
}
