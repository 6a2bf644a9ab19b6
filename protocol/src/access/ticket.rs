//! A grant as one line of text, with where to use it.
//!
//! Owns: the text form (`shoal1` and base32, by `armour`) and an error of its own for everything that
//! happens to pasted text: cut, mistyped, wrapped, tampered with, expired, somebody else's.
//! Refuses: to be printed. A ticket carries a secret, so there is no `Display`, `Debug` and
//! every error leave it out, and [`Ticket::to_text`] is called where a ticket is meant to
//! be seen.

use std::fmt;

use bincode::{Decode, Encode};
use libp2p_identity::ed25519;

use super::address::Address;
use super::armour::{Armour, ArmourError};
use super::grant::{GrantError, SignedGrant};
use crate::bounded::{List, Text};
use crate::codec;
use crate::peer::PeerKey;

/// The longest ticket, in characters.
pub const TICKET_CHARS_MAX: usize = 2048;
/// The most addresses in a ticket, over all sources.
pub const TICKET_ADDRESSES_MAX: usize = 8;
/// The longest name in a ticket, in bytes.
pub const TICKET_NAME_BYTES_MAX: usize = 96;

const ARMOUR: Armour = Armour {
    word: "shoal",
    version: '1',
    checksum_context: "shoal 1 ticket checksum",
    chars_max: TICKET_CHARS_MAX,
};
const PAYLOAD_BYTES_MAX: usize = ARMOUR.payload_bytes_max();

/// A name that a shared folder or file suggests for itself.
pub type NameHint = Text<TICKET_NAME_BYTES_MAX>;

/// The secret half of a key that was made for a ticket.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct HolderSecret([u8; 32]);

impl HolderSecret {
    /// The secret key with these 32 bytes, which should be random.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The keypair that presents the ticket's grant.
    pub fn keypair(&self) -> ed25519::Keypair {
        let secret = ed25519::SecretKey::try_from_bytes(self.0)
            .expect("every 32 bytes are an Ed25519 secret key (RFC 8032)");
        ed25519::Keypair::from(secret)
    }
}

impl fmt::Debug for HolderSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HolderSecret(…)")
    }
}

/// A node that serves what the ticket grants.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Source {
    /// Who has to answer at these addresses.
    pub peer: PeerKey,
    /// Where, best first.
    pub addresses: List<Address, TICKET_ADDRESSES_MAX>,
}

/// A right to read that can be pasted. A value of this type fits into the text form, its
/// grant is signed by its issuer, and its secret, if it has one, is the holder's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Body {
    grant: SignedGrant,
    secret: Option<HolderSecret>,
    sources: List<Source, TICKET_ADDRESSES_MAX>,
    name: Option<NameHint>,
}

/// Why a text is not a ticket that can be used here. Each says what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Something else altogether.
    #[error(
        "this is not a ticket: one begins with `shoal1`; ask for the line that `shoal share` printed"
    )]
    NotATicket,
    /// From a version of shoal that this one does not know.
    #[error("the ticket begins with `shoal{0}`, which this version cannot read: update shoal")]
    Version(char),
    /// Longer than [`TICKET_CHARS_MAX`]; it was not decoded.
    #[error(
        "the text is longer than any ticket ({TICKET_CHARS_MAX} characters): paste the ticket alone"
    )]
    TooLong,
    /// A character that no ticket has.
    #[error("character {at} ({character:?}) cannot be in a ticket: copy the whole line again")]
    Character {
        /// What it is.
        character: char,
        /// Which one, from 1, not counting white space.
        at: usize,
    },
    /// Characters are missing or wrong.
    #[error("the ticket's checksum does not match (was it cut?): copy the whole line again")]
    Checksum,
    /// The characters are right, what they say is not.
    #[error("the ticket is damaged, or not made by shoal: ask for a new one")]
    Malformed,
    /// What it says is not what its issuer signed.
    #[error("the ticket was changed after it was signed: ask the sharer for a new one")]
    Tampered,
    /// Its time is over.
    #[error("the ticket expired {ago_s} s ago: ask the sharer for a new one")]
    Expired {
        /// Seconds since its end, by the clock that was given.
        ago_s: u64,
    },
    /// Its time has not come.
    #[error("the ticket begins in {ahead_s} s: check the clocks of both machines")]
    NotYet {
        /// Seconds until its beginning, by the clock that was given.
        ahead_s: u64,
    },
    /// It is bound to another node.
    #[error("the ticket is for node {0} only: ask the sharer for one made with `--to` this node")]
    ForAnother(PeerKey),
}

impl From<ArmourError> for TicketError {
    fn from(error: ArmourError) -> Self {
        match error {
            ArmourError::AnotherWord => TicketError::NotATicket,
            ArmourError::Version(version) => TicketError::Version(version),
            ArmourError::TooLong => TicketError::TooLong,
            ArmourError::Character { character, at } => TicketError::Character { character, at },
            ArmourError::Checksum => TicketError::Checksum,
        }
    }
}

impl From<GrantError> for TicketError {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::Signature => TicketError::Tampered,
            GrantError::Expired { ago_s } => TicketError::Expired { ago_s },
            GrantError::NotYet { ahead_s } => TicketError::NotYet { ahead_s },
        }
    }
}

impl Ticket {
    /// A ticket for whoever has it, if `secret` is the grant's holder; with no secret, for
    /// the node that the grant names.
    pub fn new(grant: SignedGrant, secret: Option<HolderSecret>, name: Option<NameHint>) -> Self {
        let body = Body {
            grant,
            secret,
            sources: List::empty(),
            name,
        };
        assert!(body.secret_is_the_holders(), "the secret is the holder's");
        Self { body }
    }

    /// Puts a source in front of those that the ticket has. Addresses that do not fit any
    /// more (8 in all, and 2 KiB of text) are left out: further ones of a source before the
    /// first of any, and then those of the oldest.
    #[must_use]
    pub fn with_source(mut self, peer: PeerKey, addresses: Vec<Address>) -> Self {
        let older = std::mem::take(&mut self.body.sources).into_vec();
        let newest = (peer, addresses);
        let others = older
            .into_iter()
            .filter(|source| source.peer != peer)
            .map(|source| (source.peer, source.addresses.into_vec()));
        let sources = std::iter::once(newest).chain(others);
        let sources: Vec<_> = sources.filter(|(_, a)| !a.is_empty()).collect();
        // The first address of each source comes before the second of any: a source is worth
        // more than another way to one.
        let mut room = TICKET_ADDRESSES_MAX;
        let mut counts = vec![0; sources.len()];
        for place in 0..TICKET_ADDRESSES_MAX {
            for (count, (_, addresses)) in counts.iter_mut().zip(&sources) {
                if place < addresses.len() && room > 0 {
                    *count += 1;
                    room -= 1;
                }
            }
        }
        let kept = sources.into_iter().zip(counts).filter(|(_, n)| *n > 0);
        let kept = kept.map(|((peer, mut addresses), count)| {
            addresses.truncate(count);
            let addresses = List::new(addresses).expect("no more than a ticket has");
            Source { peer, addresses }
        });
        self.body.sources = List::new(kept.collect()).expect("no more sources than addresses");
        while codec::encode(&self.body).len() > PAYLOAD_BYTES_MAX {
            self.body.drop_an_address();
        }
        self
    }

    /// The right.
    pub fn grant(&self) -> &SignedGrant {
        &self.body.grant
    }

    /// The secret of the grant's holder; nothing if the holder is a node.
    pub fn secret(&self) -> Option<&HolderSecret> {
        self.body.secret.as_ref()
    }

    /// Where to ask, best first.
    pub fn sources(&self) -> &[Source] {
        &self.body.sources
    }

    /// What the shared thing is called.
    pub fn name(&self) -> Option<&str> {
        self.body.name.as_ref().map(Text::as_str)
    }

    /// Whether the ticket can be used at `now_unix_s` by the node `me`.
    pub fn check(&self, now_unix_s: u64, me: &PeerKey) -> Result<(), TicketError> {
        self.body.grant.check(now_unix_s)?;
        let holder = self.body.grant.grant.holder;
        if self.body.secret.is_none() && holder != *me {
            return Err(TicketError::ForAnother(holder));
        }
        Ok(())
    }

    /// The line to paste. It gives whoever sees it what the ticket grants.
    pub fn to_text(&self) -> String {
        ARMOUR.text_of(&codec::encode(&self.body))
    }

    /// The ticket in `text`, with white space around or inside it (wrapped lines) left out.
    pub fn from_text(text: &str) -> Result<Self, TicketError> {
        let bytes = ARMOUR.payload_of(text)?;
        let body: Body = codec::decode_canonical::<_, PAYLOAD_BYTES_MAX>(&bytes)
            .map_err(|_| TicketError::Malformed)?;
        if body.address_count() > TICKET_ADDRESSES_MAX || !body.secret_is_the_holders() {
            return Err(TicketError::Malformed);
        }
        body.grant.check_signature()?;
        Ok(Self { body })
    }
}

impl Body {
    fn secret_is_the_holders(&self) -> bool {
        let holder = self.grant.grant.holder;
        (self.secret.as_ref()).is_none_or(|secret| PeerKey::of(&secret.keypair()) == holder)
    }

    fn address_count(&self) -> usize {
        self.sources.iter().map(|s| s.addresses.len()).sum()
    }

    /// Leaves out the last address of the source that has most of them, of the oldest such.
    fn drop_an_address(&mut self) {
        let mut sources = std::mem::take(&mut self.sources).into_vec();
        let most = (0..sources.len())
            .max_by_key(|at| (sources[*at].addresses.len(), *at))
            .expect("a ticket without addresses fits: its other parts are bounded");
        let source = sources.remove(most);
        let mut addresses = source.addresses.into_vec();
        addresses.pop();
        if !addresses.is_empty() {
            let addresses = List::new(addresses).expect("fewer than before");
            sources.insert(
                most,
                Source {
                    addresses,
                    ..source
                },
            );
        }
        self.sources = List::new(sources).expect("not more than before");
    }
}

/// Whether `text` can be nothing but a ticket, good or bad, of this version or another.
pub fn is_meant_as_ticket(text: &str) -> bool {
    ARMOUR.is_meant(text)
}
