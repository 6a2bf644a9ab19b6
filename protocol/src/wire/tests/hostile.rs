//! Bytes that no honest node sends.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::limits::*;
use super::*;

fn with_prefix(length: u32, kind: u8, reserved: u8, header: u16) -> Vec<u8> {
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend([kind, reserved]);
    bytes.extend(header.to_le_bytes());
    bytes
}

fn error_of(bytes: &[u8]) -> String {
    match read(bytes) {
        Err(Some(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// The head of `message` with its check left out, as a liar would send it.
fn forged(message: &Message, payload_bytes: usize) -> Vec<u8> {
    let header = message.encode();
    let length = (header.len() + payload_bytes) as u32;
    let mut bytes = with_prefix(length, message.kind() as u8, 0, header.len() as u16);
    bytes.extend(header);
    bytes
}

#[test]
fn a_prefix_is_refused_before_anything_is_read_for_it() {
    let mib = 1 << 20;
    for (bytes, says) in [
        (with_prefix(0, 0x99, 0, 0), "unknown message kind 0x99"),
        (with_prefix(8, 0x06, 1, 8), "reserved byte"),
        (
            with_prefix(7, 0x06, 0, 8),
            "a header of 8 bytes is not allowed for Ping",
        ),
        (
            with_prefix(9, 0x06, 0, 9),
            "a header of 9 bytes is not allowed for Ping",
        ),
        (
            with_prefix(9, 0x06, 0, 8),
            "a payload of 1 bytes is not allowed for Ping",
        ),
        (
            with_prefix(u32::MAX, 0x13, 0, 30),
            "not allowed for RunData",
        ),
        (
            with_prefix(mib + 31, 0x13, 0, 30),
            "a payload of 1048577 bytes",
        ),
    ] {
        let error = error_of(&bytes);
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn another_version_is_named_whatever_its_hello_looks_like() {
    let mut bytes = with_prefix(3, 0x01, 0, 3);
    bytes.extend([2, 0, 0xff]);
    let error = error_of(&bytes);
    assert_eq!(error, "the peer speaks protocol version 2, this node 1");
}

#[test]
fn a_header_with_something_behind_it_is_refused() {
    let ping = Message::from(Ping { token: 1 });
    let cancel = with_prefix(8, Kind::Cancel as u8, 0, 8);
    let bytes = [cancel, vec![0; 8]].concat();
    assert!(read(&bytes).is_ok());
    let hello = &samples()[0].0;
    let mut bytes = head(hello, 0);
    bytes.push(0);
    bytes[0] += 1;
    bytes[6] += 1;
    assert!(error_of(&bytes).contains("1 trailing bytes"));
    assert!(read(&head(&ping, 0)[..15]).is_err());
}

#[test]
fn what_cannot_be_is_refused_although_it_decodes() {
    let data = RunData {
        request: REQUEST,
        position: 0,
        codec: Codec::Raw,
        plain_length: 1000,
    };
    let zstd = RunData {
        codec: Codec::Zstd,
        ..data
    };
    let request = RunRequest {
        request: REQUEST,
        snapshot: SnapshotId::of(b""),
        ranges: RangeSet::of(0..1),
        codecs: Codecs::RAW,
        priority: 0,
        bases: List::empty(),
    };
    let base = |start, end| RunRequest {
        bases: list(vec![Base {
            position: 0,
            snapshot: SnapshotId::of(b""),
            start,
            end,
        }]),
        ..request.clone()
    };
    let bases = |positions: &[u64], bytes| RunRequest {
        bases: list(
            positions
                .iter()
                .map(|position| Base {
                    position: *position,
                    snapshot: SnapshotId::of(b""),
                    start: 0,
                    end: bytes,
                })
                .collect(),
        ),
        ..request.clone()
    };
    let many: Vec<u64> = (0..33).collect();
    let of = |ranges: RangeSet| RunRequest {
        ranges,
        ..request.clone()
    };
    let page = |plain_length, length, codec| Pages {
        request: REQUEST,
        last: true,
        pages: list(vec![PageHead {
            page: PageId::of(b""),
            codec,
            plain_length,
            length,
        }]),
    };
    let many_packed = Pages {
        request: REQUEST,
        last: true,
        pages: list(vec![
            PageHead {
                page: PageId::of(b""),
                codec: PageCodec::Zstd,
                plain_length: PAGE_BYTES_MAX as u32,
                length: 1,
            };
            17
        ]),
    };
    let no_pages = PageRequest {
        request: REQUEST,
        snapshot: SnapshotId::of(b""),
        pages: List::empty(),
    };
    let binding = Binding {
        client: PeerKey::of(&keypair(3)),
        server: PeerKey::of(&keypair(1)),
        nonce: Nonce([9; 32]),
    };
    let entered = Entered {
        tag: Tag::of_server(&binding.server, &binding),
        proof: membership(),
    };
    let scattered: RangeSet = (0..257).map(|i| i * 2..i * 2 + 1).collect();
    let cases: Vec<(Message, usize, &str)> = vec![
        (data.into(), 999, "raw bytes have another length"),
        (data.into(), 0, "data of no length"),
        (zstd.into(), 1001, "longer than plain"),
        (
            RunData {
                plain_length: (1 << 20) + 1,
                ..zstd
            }
            .into(),
            10,
            "stands for too much",
        ),
        (
            RunData {
                plain_length: u32::MAX,
                ..zstd
            }
            .into(),
            10,
            "stands for too much",
        ),
        (
            RunData {
                position: u64::MAX,
                ..zstd
            }
            .into(),
            10,
            "beyond every position",
        ),
        (of(RangeSet::new()).into(), 0, "asks for nothing"),
        (
            of(RangeSet::of(0..(16 << 20) + 1)).into(),
            0,
            "asks for too much",
        ),
        (of(scattered).into(), 0, "too many ranges"),
        (base(5, 5).into(), 0, "a base is empty"),
        (base(0, u64::MAX).into(), 0, "a base is empty or too long"),
        (
            base(0, (1 << 20) + 1).into(),
            0,
            "a base is empty or too long",
        ),
        (bases(&[7, 7], 1).into(), 0, "not in the order of positions"),
        (bases(&many, 1 << 20).into(), 0, "too long together"),
        (no_pages.into(), 0, "asks for nothing"),
        (page(5, 5, PageCodec::Raw).into(), 6, "not the payload's"),
        (
            page(6, 5, PageCodec::Raw).into(),
            5,
            "raw bytes have another length",
        ),
        (
            page(u32::MAX, 5, PageCodec::Zstd).into(),
            5,
            "a page is too long",
        ),
        (many_packed.into(), 17, "too long together"),
        (TeamHeads {}.into(), 33, "no whole number of ids"),
        (entered.into(), 1, "no whole number of ids"),
        (
            TeamOperations { last: true }.into(),
            7,
            "a batch without its count",
        ),
    ];
    for (message, payload_bytes, says) in cases {
        let error = error_of(&forged(&message, payload_bytes));
        assert!(error.contains(says), "{error}: expected {says}");
    }
}

#[test]
fn every_truncation_of_every_message_is_an_error() {
    for (message, payload_bytes) in samples() {
        let bytes = head(&message, payload_bytes);
        for length in 0..bytes.len() {
            assert!(
                read(&bytes[..length]).is_err(),
                "{:?} cut to {length}",
                message.kind()
            );
            // The same with a prefix that agrees with what is there.
            if length >= FRAME_PREFIX_BYTES {
                let header = length - FRAME_PREFIX_BYTES;
                let total = (header + payload_bytes) as u32;
                let mut honest = with_prefix(total, message.kind() as u8, 0, header as u16);
                honest.extend(&bytes[FRAME_PREFIX_BYTES..length]);
                assert!(read(&honest).is_err(), "{:?} with {header}", message.kind());
            }
        }
    }
}

/// Whatever is read must be what would be written: nothing has two encodings.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok((prefix, message)) = read(bytes) {
        let head = head(&message, prefix.payload_bytes());
        prop_assert_eq!(&head[..], &bytes[..head.len()]);
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200)) {
        check(&bytes)?;
    }

    #[test]
    fn no_header_of_a_known_kind_panics(
        kind in 0..Kind::ALL.len(),
        header in vec(prop_oneof![4 => 0..4u8, 1 => any::<u8>()], 0..300),
        payload_bytes in 0..400usize,
    ) {
        let length = (header.len() + payload_bytes) as u32;
        let kind = Kind::ALL[kind] as u8;
        let mut bytes = with_prefix(length, kind, 0, header.len() as u16);
        bytes.extend(header);
        check(&bytes)?;
    }

    #[test]
    fn no_damage_to_a_message_panics_or_makes_a_second_form(
        sample in 0..samples().len(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (message, payload_bytes) = samples().swap_remove(sample);
        let mut bytes = head(&message, payload_bytes);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check(&bytes)?;
    }

    #[test]
    fn requests_of_any_shape_come_back(
        numbers in (any::<u64>(), any::<u8>(), any::<[u8; 32]>()),
        starts in vec((0..1u64 << 40, 1..65536u64), 1..200),
    ) {
        let ranges: RangeSet = starts.into_iter().map(|(s, length)| s..s + length).collect();
        let message = Message::from(RunRequest {
            request: RequestId(numbers.0),
            snapshot: SnapshotId::from_bytes(numbers.2),
            ranges,
            codecs: Codecs::RAW,
            priority: numbers.1,
            bases: List::empty(),
        });
        let (_, read) = read(&head(&message, 0)).expect("within the limits");
        prop_assert_eq!(read, message);
    }
}
