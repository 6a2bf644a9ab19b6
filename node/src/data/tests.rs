//! Members and guests of a team at the door of one of its nodes, as facts.

use std::sync::Arc;

use shoal_protocol::access::presentation::Binding;
use shoal_protocol::access::team::{Invitation, Redemption, TeamName};
use shoal_protocol::access::{Nonce, SignedGrant};
use shoal_protocol::bounded::List;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::{Features, Hello, Message, NotEnteredReason, Redeem};
use shoal_store::disk::real::RealDisk;
use shoal_store::{Store, StoreOptions};
use tokio::io::duplex;

use super::link::Link;
use super::*;
use crate::identity::Identity;
use crate::team::TeamBook;

/// Reads nothing for anybody: who is a member is the team's to say.
struct Nobody;

impl Admission for Nobody {
    fn admit(&self, _: &SignedGrant, _: PeerKey) -> Option<Allowed> {
        None
    }
}

/// The node of a founder, to which streams lead.
struct House {
    _dir: tempfile::TempDir,
    team: TeamBook,
    listener: Listener,
}

impl House {
    async fn open() -> Self {
        let (dir, identity) = (tempfile::tempdir().unwrap(), Identity::generate());
        let team = TeamBook::load(dir.path(), &identity).unwrap();
        let name = TeamName::cut("lab");
        team.create(name.clone(), name).unwrap();
        let store = Store::open(RealDisk::shared(), dir.path(), StoreOptions::default()).unwrap();
        let options = EndpointOptions::default();
        let endpoint = Endpoint::of_node(identity, store, "house", options, team.clone()).unwrap();
        let config = ListenerConfig::default();
        let listener = Listener::start(endpoint, Arc::new(Nobody), config).await;
        Self {
            _dir: dir,
            team,
            listener: listener.unwrap(),
        }
    }

    fn invite(&self, uses: u32) -> Invitation {
        let name = TeamName::cut("guest");
        let invited = self.team.invite(vec![], uses, u64::MAX, None, name);
        invited.unwrap()
    }

    /// A stream from `who`, in which a few bytes at a time are on their way.
    async fn connect(&self, who: &Identity) -> Client {
        let (near, far) = duplex(64);
        self.listener.attend(Detour {
            peer: who.peer_key(),
            is_relayed: false,
            io: Box::new(far),
        });
        let mut link = Link::new(self.team.me(), near);
        let hello = Hello::new(Features::TEAM, Nonce([1; 32]), "x", List::empty());
        link.writer.send(hello, &[]).await.unwrap();
        link.writer.flush().await.unwrap();
        let (Message::Hello(hello), _) = link.reader.message(|_| true).await.unwrap() else {
            panic!("no hello")
        };
        let binding = Binding {
            client: who.peer_key(),
            server: self.team.me(),
            nonce: hello.nonce,
        };
        Client { link, binding }
    }
}

/// A connection that says what it likes.
struct Client {
    link: Link,
    binding: Binding,
}

impl Client {
    async fn say(&mut self, message: impl Into<Message>) {
        self.link.writer.send(message, &[]).await.unwrap();
        self.link.writer.flush().await.unwrap();
    }

    async fn redeem(&mut self, invitation: &Invitation) {
        let team = shoal_protocol::id::TeamId::of(invitation.root.as_bytes());
        let key = invitation.secret.keypair();
        let redemption = Redemption::new(&team, &key, &self.binding);
        let name = TeamName::cut("");
        self.say(Redeem { redemption, name }).await;
    }

    /// The next message; nothing once the other side has hung up.
    async fn hear(&mut self) -> Option<Message> {
        let (message, length) = self.link.reader.message(|_| true).await.ok()?;
        let mut payload = vec![0; length];
        self.link.reader.payload(&mut payload).await.ok()?;
        Some(message)
    }
}

#[tokio::test]
async fn who_has_no_invitation_takes_no_place_of_those_who_have_one() {
    let house = House::open().await;
    let (crowd, eve) = (Identity::generate(), Identity::generate());
    let invitation = house.invite(1);
    // They take nothing of what they are told, so that they are at it for a while.
    let mut at_work = Vec::new();
    for _ in 0..4 {
        let mut client = house.connect(&crowd).await;
        client.redeem(&invitation).await;
        let heard = client.hear().await;
        assert!(matches!(heard, Some(Message::Welcome(_))), "{heard:?}");
        at_work.push(client);
    }
    let mut one_more = house.connect(&crowd).await;
    one_more.redeem(&invitation).await;
    let Some(Message::NotEntered(no)) = one_more.hear().await else {
        panic!("told to come back")
    };
    assert!(matches!(no.reason, NotEnteredReason::Full { .. }));
    let forged = Invitation {
        secret: shoal_protocol::access::team::InvitationSecret::from_bytes([7; 32]),
        ..invitation.clone()
    };
    let mut forger = house.connect(&crowd).await;
    forger.redeem(&forged).await;
    let heard = forger.hear().await;
    assert!(matches!(heard, Some(Message::NotWelcome(_))), "{heard:?}");
    let mut elsewhere = house.connect(&eve).await;
    elsewhere.redeem(&house.invite(1)).await;
    let heard = elsewhere.hear().await;
    assert!(matches!(heard, Some(Message::Welcome(_))), "{heard:?}");
}
