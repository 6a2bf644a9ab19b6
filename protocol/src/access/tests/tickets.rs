//! Tickets, as people paste them.

use data_encoding::BASE32_NOPAD;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::ticket::{TICKET_ADDRESSES_MAX, TICKET_CHARS_MAX};
use super::*;
use crate::bounded::Text;

fn address(text: &str) -> Address {
    text.parse().expect(text)
}

fn ticket() -> Ticket {
    let secret = HolderSecret::from_bytes([2; 32]);
    let addresses = ["192.168.1.7:4747", "[2001:db8::7]:4747"].map(address);
    Ticket::new(signed(1, 2), Some(secret), Some(Text::cut("imagenet")))
        .with_source(key(1), addresses.into())
}

fn error(text: &str) -> TicketError {
    Ticket::from_text(text).expect_err("not a ticket")
}

/// The ticket with these bytes and a checksum that is right.
fn sealed(payload: &[u8]) -> String {
    let sum = blake3::derive_key("shoal 1 ticket checksum", payload);
    let bytes = [payload, &sum[..4]].concat();
    format!("shoal1{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}

fn payload(text: &str) -> Vec<u8> {
    let bytes = BASE32_NOPAD.decode(text[6..].to_ascii_uppercase().as_bytes());
    let mut bytes = bytes.expect("a ticket");
    bytes.truncate(bytes.len() - 4);
    bytes
}

#[test]
fn a_ticket_has_the_text_that_it_always_had() {
    let golden = include_str!("ticket.txt");
    let now = format!("{}\n", ticket().to_text());
    assert_eq!(now, golden, "it is now:\n{now}");
    assert_eq!(sealed(&payload(golden.trim())), golden.trim());
}

#[test]
fn a_ticket_comes_back_as_it_was_made() {
    let read = Ticket::from_text(&ticket().to_text()).expect("a ticket");
    assert_eq!(read, ticket());
    assert_eq!(read.name(), Some("imagenet"));
    assert_eq!(read.sources()[0].peer, key(1));
    assert_eq!(
        read.secret().map(|s| PeerKey::of(&s.keypair())),
        Some(key(2))
    );
    assert_eq!(read.check(BEGIN, &key(9)), Ok(()));
}

#[test]
fn white_space_and_case_do_not_matter() {
    let text = ticket().to_text();
    let wrapped: Vec<_> = text
        .as_bytes()
        .chunks(60)
        .map(String::from_utf8_lossy)
        .collect();
    let wrapped = format!("\u{feff} \n  {}\r\n\t", wrapped.join("\r\n  ")).replace('\u{feff}', "");
    assert_eq!(Ticket::from_text(&wrapped), Ok(ticket()));
    assert_eq!(Ticket::from_text(&text.to_uppercase()), Ok(ticket()));
}

#[test]
fn every_way_to_spoil_a_ticket_has_an_error_of_its_own() {
    let text = ticket().to_text();
    for (spoilt, expected) in [
        ("", TicketError::NotATicket),
        ("shoal", TicketError::NotATicket),
        ("https://example.org", TicketError::NotATicket),
        ("shoal-data", TicketError::NotATicket),
        ("shoal2abcdef", TicketError::Version('2')),
        ("shoal1", TicketError::Checksum),
        ("shoal1abc", TicketError::Checksum),
        (&text[..text.len() - 1], TicketError::Checksum),
        (&text[..text.len() / 2], TicketError::Checksum),
        (&text.replacen("qe", "qf", 1), TicketError::Checksum),
        (&sealed(b"not a ticket's bytes"), TicketError::Malformed),
        (&sealed(&[]), TicketError::Malformed),
    ] {
        assert_eq!(error(spoilt), expected, "{spoilt}");
    }
    let exclamation = format!("{}!{}", &text[..20], &text[21..]);
    let character = TicketError::Character {
        character: '!',
        at: 21,
    };
    assert_eq!(error(&exclamation), character);
    assert!(character.to_string().contains("character 21 ('!')"));
    assert!(
        TicketError::Checksum
            .to_string()
            .contains("checksum does not match (was it cut?)")
    );
}

#[test]
fn what_was_changed_and_sealed_again_is_tampered_with() {
    let bytes = payload(&ticket().to_text());
    // Inside the grant: the end of its time.
    let end = END.to_le_bytes();
    let at = bytes
        .windows(8)
        .position(|w| w == end)
        .expect("it is there");
    let mut longer = bytes.clone();
    longer[at + 4] += 1;
    assert_eq!(error(&sealed(&longer)), TicketError::Tampered);
    // Another secret than the holder's.
    let at = bytes
        .windows(32)
        .position(|w| w == [2; 32])
        .expect("it is there");
    let mut other = bytes.clone();
    other[at] = 3;
    assert_eq!(error(&sealed(&other)), TicketError::Malformed);
    let trailing = [&bytes[..], &[0]].concat();
    assert_eq!(error(&sealed(&trailing)), TicketError::Malformed);
}

#[test]
fn an_over_long_text_is_refused_before_it_is_decoded() {
    let digits = "a".repeat(TICKET_CHARS_MAX - 6);
    assert_eq!(error(&format!("shoal1{digits}")), TicketError::Checksum);
    assert_eq!(error(&format!("shoal1{digits}a")), TicketError::TooLong);
    let huge = format!("shoal1{}!", "a ".repeat(1 << 20));
    assert_eq!(error(&huge), TicketError::TooLong);
}

#[test]
fn time_and_place_are_checked_where_a_ticket_is_used() {
    let ticket = ticket();
    assert_eq!(
        ticket.check(END + 601, &key(9)),
        Err(TicketError::Expired { ago_s: 601 })
    );
    let early = ticket.check(BEGIN - 601, &key(9));
    assert_eq!(early, Err(TicketError::NotYet { ahead_s: 601 }));
    let bound = Ticket::new(signed(1, 2), None, None);
    let bound = Ticket::from_text(&bound.to_text()).expect("a ticket");
    assert_eq!(bound.check(BEGIN, &key(2)), Ok(()));
    let elsewhere = bound.check(BEGIN, &key(9)).expect_err("it is for 2");
    assert_eq!(elsewhere, TicketError::ForAnother(key(2)));
    assert!(elsewhere.to_string().contains(&key(2).to_string()));
}

#[test]
fn nothing_that_is_printed_has_the_secret() {
    let ticket = ticket();
    let secret = ticket.secret().expect("it has one");
    for printed in [
        format!("{ticket:?}"),
        format!("{secret:?}"),
        format!("{ticket:#?}"),
    ] {
        assert!(printed.contains("HolderSecret(…)"));
        assert!(!printed.contains(&hex(&[2; 32])) && !printed.contains("2, 2, 2"));
    }
}

#[test]
fn eight_addresses_fit_and_the_newest_source_stays() {
    let v6 = |i: u16| address(&format!("[2001:db8:1111:2222:3333:4444:5555:{i:x}]:65535"));
    let ticket = ticket().with_source(key(5), (1..9).map(v6).collect());
    let counts: Vec<_> = (ticket.sources().iter())
        .map(|source| source.addresses.len())
        .collect();
    assert_eq!(
        counts,
        [TICKET_ADDRESSES_MAX - 2, 2],
        "no source's further addresses push out another"
    );
    assert_eq!(ticket.sources()[0].peer, key(5));
    let mut crowd = self::ticket();
    for seed in 10..18 {
        crowd = crowd.with_source(key(seed), vec![v6(seed.into())]);
    }
    assert_eq!(crowd.sources().len(), 8);
    assert_eq!(crowd.sources()[0].peer, key(17));
    for ticket in [ticket, crowd] {
        let text = ticket.to_text();
        assert!(text.len() <= TICKET_CHARS_MAX);
        assert_eq!(Ticket::from_text(&text), Ok(ticket));
    }
}

#[test]
fn host_names_too_long_for_a_ticket_are_left_out_from_the_end() {
    let long = |i: u8| {
        let label = char::from(b'a' + i).to_string().repeat(60);
        address(&format!("{0}.{0}.{0}.{0}:4747", label))
    };
    let ticket = Ticket::new(signed(1, 2), None, Some(Text::cut(&"n".repeat(200))))
        .with_source(key(1), (0..8).map(long).collect());
    let kept = &ticket.sources()[0].addresses;
    assert_eq!(&kept[..], &[long(0), long(1), long(2)]);
    assert!(ticket.to_text().len() <= TICKET_CHARS_MAX);
}

#[test]
fn a_source_that_comes_again_is_not_listed_twice() {
    let ticket = ticket().with_source(key(1), vec![address("10.0.0.1:1")]);
    assert_eq!(ticket.sources().len(), 1);
    assert_eq!(ticket.sources()[0].addresses[0].as_str(), "10.0.0.1:1");
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,80}", digits in "[a-z2-7]{0,600}") {
        let _ = Ticket::from_text(&text);
        let _ = Ticket::from_text(&format!("shoal1{digits}"));
    }

    #[test]
    fn no_bytes_behind_a_right_checksum_panic(bytes in vec(any::<u8>(), 0..600)) {
        let _ = Ticket::from_text(&sealed(&bytes));
    }

    #[test]
    fn every_typo_is_noticed(at in any::<prop::sample::Index>(), to in "[a-z2-7]") {
        let text = ticket().to_text();
        let at = 6 + at.index(text.len() - 6);
        let typo = format!("{}{to}{}", &text[..at], &text[at + 1..]);
        if typo != text {
            prop_assert_eq!(error(&typo), TicketError::Checksum);
        }
    }

    #[test]
    fn every_cut_is_noticed(length in any::<prop::sample::Index>()) {
        let text = ticket().to_text();
        prop_assert!(Ticket::from_text(&text[..length.index(text.len())]).is_err());
    }
}
