//! Invitations, as people paste them and as minters redeem them.

use data_encoding::BASE32_NOPAD;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::access::{Address, Binding, Nonce};
use crate::bounded::List;

const PREFIX: &str = "shoalinvite1";

pub(super) fn invitation() -> Invitation {
    let addresses = ["192.168.1.7:4747", "[2001:db8::7]:4747"].map(address);
    Invitation {
        root: key(ROOT),
        team_name: Text::cut("vision lab"),
        minter: key(ANN),
        addresses: List::new(addresses.into()).expect("two"),
        secret: InvitationSecret::from_bytes([42; 32]),
        expires_unix_s: NOW + 900,
    }
}

fn address(text: &str) -> Address {
    text.parse().expect(text)
}

fn error(text: &str) -> InvitationError {
    Invitation::from_text(text).expect_err("not an invitation")
}

fn sealed(payload: &[u8]) -> String {
    let sum = blake3::derive_key("shoal 1 invitation checksum", payload);
    let bytes = [payload, &sum[..4]].concat();
    format!(
        "{PREFIX}{}",
        BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()
    )
}

#[test]
fn an_invitation_comes_back_as_it_was_made_wrapped_and_shouted_too() {
    let text = invitation().to_text();
    assert_eq!(Invitation::from_text(&text), Ok(invitation()));
    assert_eq!(
        Invitation::from_text(&text.to_uppercase()),
        Ok(invitation())
    );
    let wrapped = format!("  {}\r\n  {}\n", &text[..50], &text[50..]);
    assert_eq!(Invitation::from_text(&wrapped), Ok(invitation()));
    assert!(is_meant_as_invitation(&text) && is_meant_as_invitation(" SHOALINVITE9"));
    assert!(!is_meant_as_invitation("shoal1abc") && !is_meant_as_invitation("shoalinvite"));
    assert!(!crate::access::ticket::is_meant_as_ticket(&text));
}

#[test]
fn every_way_to_spoil_an_invitation_has_an_error_of_its_own() {
    let text = invitation().to_text();
    let ticket = include_str!("../../tests/ticket.txt").trim();
    for (spoilt, expected) in [
        ("", InvitationError::NotAnInvitation),
        ("shoalinvite", InvitationError::NotAnInvitation),
        ("shoalinvited", InvitationError::NotAnInvitation),
        (ticket, InvitationError::NotAnInvitation),
        ("shoalinvite2abc", InvitationError::Version('2')),
        (PREFIX, InvitationError::Checksum),
        (&text[..text.len() - 1], InvitationError::Checksum),
        (&sealed(b"something else"), InvitationError::Malformed),
        (&sealed(&[]), InvitationError::Malformed),
    ] {
        assert_eq!(error(spoilt), expected, "{spoilt}");
    }
    let bad = format!("{}!{}", &text[..20], &text[21..]);
    let character = InvitationError::Character {
        character: '!',
        at: 21,
    };
    assert_eq!(error(&bad), character);
    let long = format!("{PREFIX}{}", "a".repeat(INVITATION_CHARS_MAX));
    assert_eq!(error(&long), InvitationError::TooLong);
}

#[test]
fn nothing_that_is_printed_has_the_secret() {
    for printed in [
        format!("{:?}", invitation()),
        format!("{:#?}", invitation()),
    ] {
        assert!(printed.contains("InvitationSecret(…)"));
        assert!(!printed.contains("42, 42"));
    }
}

#[test]
fn addresses_that_do_not_fit_are_left_out_from_the_end() {
    let long = |i: u8| {
        let label = char::from(b'a' + i).to_string().repeat(60);
        address(&format!("{label}.{label}.{label}.{label}:4747"))
    };
    let addresses: Vec<_> = (0..8).map(long).collect();
    let many = Invitation {
        team_name: Text::cut(&"n".repeat(100)),
        addresses: List::new(addresses.clone()).expect("eight"),
        ..invitation()
    };
    let read = Invitation::from_text(&many.to_text()).expect("it fits");
    assert_eq!(&read.addresses[..], &addresses[..4]);
    assert!(many.to_text().len() <= INVITATION_CHARS_MAX);
}

fn binding() -> Binding {
    Binding {
        client: key(OLA),
        server: key(ANN),
        nonce: Nonce([9; 32]),
    }
}

pub(super) fn redemption() -> Redemption {
    Redemption::new(&empty().id(), &invitation().secret.keypair(), &binding())
}

#[test]
fn a_redemption_is_for_one_team_and_one_connection() {
    let team = empty().id();
    assert!(redemption().is_for(&team, &binding()));
    assert!(!redemption().is_for(&TeamId::of(b"another"), &binding()));
    for elsewhere in [
        Binding {
            client: key(NED),
            ..binding()
        },
        Binding {
            server: key(BOB),
            ..binding()
        },
        Binding {
            nonce: Nonce([8; 32]),
            ..binding()
        },
    ] {
        assert!(!redemption().is_for(&team, &elsewhere), "{elsewhere:?}");
    }
    let mut other = redemption();
    other.invitation = key(OLA);
    assert!(!other.is_for(&team, &binding()));
}

pub(super) fn record() -> InvitationRecord {
    InvitationRecord {
        invitation: redemption().invitation,
        name: Text::cut("gpu fleet"),
        uses_left: 2,
        expires_unix_s: NOW + 900,
        stay_s: Some(3600),
    }
}

#[test]
fn uses_are_counted_and_the_time_is_the_minters() {
    let mut record = record();
    assert_eq!(record.redeem(NOW), Ok(Some(NOW + 3600)));
    assert_eq!(
        record.redeem(NOW + 901),
        Err(RedeemError::Expired { ago_s: 1 })
    );
    assert!(record.is_good(NOW + 900) && !record.is_good(NOW + 901));
    assert_eq!(record.redeem(NOW + 900), Ok(Some(NOW + 4500)));
    assert_eq!(record.redeem(NOW), Err(RedeemError::UsedUp));
    assert!(!record.is_good(NOW));
    let bytes = record.to_bytes();
    assert_eq!(InvitationRecord::from_bytes(&bytes).ok(), Some(record));
}

#[test]
fn an_invitation_leads_from_the_paste_to_a_member() {
    let mut team = lab();
    let invitation = Invitation::from_text(&invitation().to_text()).expect("pasted");
    let guests_team = Team::new(invitation.root);
    let redemption = Redemption::new(&guests_team.id(), &invitation.secret.keypair(), &binding());

    let mut record = record();
    assert_eq!(record.invitation, redemption.invitation);
    assert!(redemption.is_for(&team.id(), &binding()));
    let until = record.redeem(NOW).expect("a use is left");
    say(&mut team, ANN, admit_until(OLA, until));

    let proof = team.proof_of(&key(OLA)).expect("let in");
    let shown = guests_team.check_proof(&proof, &key(OLA), NOW);
    assert_eq!(shown, Ok(Standing::Member));
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,80}", digits in "[a-z2-7]{0,600}") {
        let _ = Invitation::from_text(&text);
        let _ = Invitation::from_text(&format!("{PREFIX}{digits}"));
    }

    #[test]
    fn no_bytes_behind_a_right_checksum_panic(bytes in vec(any::<u8>(), 0..600)) {
        let _ = Invitation::from_text(&sealed(&bytes));
    }

    #[test]
    fn every_typo_is_noticed(at in any::<prop::sample::Index>(), to in "[a-z2-7]") {
        let text = invitation().to_text();
        let at = PREFIX.len() + at.index(text.len() - PREFIX.len());
        let typo = format!("{}{to}{}", &text[..at], &text[at + 1..]);
        if typo != text {
            prop_assert_eq!(error(&typo), InvitationError::Checksum);
        }
    }
}
