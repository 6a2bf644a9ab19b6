//! Members and guests of a team at the door of one of its nodes, as facts.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, pending, ready};
use shoal_protocol::access::grant::CLOCK_TOLERANCE_S;
use shoal_protocol::access::presentation::Binding;
use shoal_protocol::access::team::{Invitation, InvitationSecret, Redemption, Tag, TeamName};
use shoal_protocol::access::{Grant, Nonce, Presentation, Rights, Scope, SignedGrant};
use shoal_protocol::bounded::List;
use shoal_protocol::id::{SnapshotId, TeamId};
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::Snapshot;
use shoal_protocol::wire::{
    ByeReason, Enter, Features, Hello, Message, NotEnteredReason, Ping, Present, Redeem,
};
use shoal_store::disk::real::RealDisk;
use shoal_store::ingest::{AddMode, AddRequest};
use shoal_store::progress::Silent;
use shoal_store::{Store, StoreOptions};
use tokio::io::{DuplexStream, duplex};
use tokio_util::sync::CancellationToken;

use super::link::Link;
use super::*;
use crate::identity::Identity;
use crate::team::{Guest, TeamBook, join};

/// Lets members read one thing: who is a member is the team's to say.
struct Members(Snapshot);

impl Admission for Members {
    fn admit(&self, _: &SignedGrant, _: PeerKey) -> Option<Allowed> {
        None
    }

    fn admit_member(&self, _: &SignedGrant, revoked: &CancellationToken) -> Option<Allowed> {
        Some(Allowed {
            snapshot: self.0,
            revoked: revoked.clone(),
            traffic: Traffic::new(),
        })
    }
}

/// The node of a founder, to which streams lead, with one file.
struct House {
    _dir: tempfile::TempDir,
    team: TeamBook,
    endpoint: Endpoint,
    snapshot: SnapshotId,
    listener: Arc<Listener>,
}

impl House {
    async fn open() -> Self {
        let (dir, identity) = (tempfile::tempdir().unwrap(), Identity::generate());
        let (home, path) = (dir.path().join("home"), dir.path().join("file"));
        std::fs::create_dir(&home).unwrap();
        std::fs::write(&path, "bytes").unwrap();
        let team = TeamBook::load(&home, &identity).unwrap();
        let name = TeamName::cut("lab");
        team.create(name.clone(), name).unwrap();
        let store = Store::open(RealDisk::shared(), &home, StoreOptions::default()).unwrap();
        let request = AddRequest {
            path,
            all: true,
            mode: AddMode::InPlace,
            kept: true,
            audience: team.root(),
        };
        let snapshot = store.add(&request, &Silent).unwrap().snapshot;
        let row = store.view().snapshot(&snapshot).unwrap().unwrap();
        let options = EndpointOptions::default();
        let endpoint = Endpoint::of_node(identity, store, "house", options, team.clone()).unwrap();
        let members = Arc::new(Members(row.snapshot));
        let listener = Listener::start(endpoint.clone(), members, ListenerConfig::default()).await;
        Self {
            _dir: dir,
            team,
            endpoint,
            snapshot,
            listener: Arc::new(listener.unwrap()),
        }
    }

    fn invite(&self, uses: u32) -> Invitation {
        let name = TeamName::cut("guest");
        let invited = self.team.invite(vec![], uses, u64::MAX, None, name);
        invited.unwrap()
    }

    /// Makes `who` a member for so many seconds.
    fn admit(&self, who: &Identity, stay_s: u64) {
        let name = TeamName::cut("member");
        let invited = self.team.invite(vec![], 1, u64::MAX, Some(stay_s), name);
        let binding = self.binding(who, Nonce([2; 32]));
        let asked = redeem(&invited.unwrap(), &binding);
        let guest = self.team.redeem(&asked, &binding);
        assert!(matches!(guest, Guest::Welcome { .. }));
    }

    fn binding(&self, who: &Identity, nonce: Nonce) -> Binding {
        Binding {
            client: who.peer_key(),
            server: self.team.me(),
            nonce,
        }
    }

    /// A stream from a member, who has entered.
    async fn enter(&self, who: &Identity) -> Client {
        let mut client = self.connect(who).await;
        let root = self.team.root().unwrap();
        let tag = Tag::of_client(&root, &client.binding);
        client.say(Enter { tag, proof: None }).await;
        let heard = client.hear().await;
        assert!(matches!(heard, Some(Message::Entered(_))), "{heard:?}");
        client
    }

    /// Takes all places that guests of one origin have. They take nothing of what they are
    /// told, so that they have them for as long as they may.
    async fn take_all_places(&self, who: &Identity, invitation: &Invitation) -> Vec<Client> {
        let mut at_work = Vec::new();
        for _ in 0..4 {
            let mut client = self.connect(who).await;
            client.redeem(invitation).await;
            let heard = client.hear().await;
            assert!(matches!(heard, Some(Message::Welcome(_))), "{heard:?}");
            at_work.push(client);
        }
        at_work
    }

    /// A stream from `who`, in which a few bytes at a time are on their way.
    async fn connect(&self, who: &Identity) -> Client {
        let mut link = Link::new(self.team.me(), stream(&self.listener, who.peer_key(), 16));
        let (Message::Hello(hello), _) = link.reader.message(|_| true).await.unwrap() else {
            panic!("no hello")
        };
        let binding = self.binding(who, hello.nonce);
        let mut client = Client { link, binding };
        let hello = Hello::new(Features::TEAM, Nonce([1; 32]), "x", List::empty());
        client.say(hello).await;
        client
    }
}

/// A stream of `who` to the house of this listener, with so many bytes on their way at most.
fn stream(listener: &Listener, who: PeerKey, bytes_max: usize) -> DuplexStream {
    let (near, far) = duplex(bytes_max);
    listener.attend(Detour {
        peer: who,
        is_relayed: false,
        io: Box::new(far),
    });
    near
}

/// The way to the house for somebody.
struct ToTheHouse {
    listener: Arc<Listener>,
    who: PeerKey,
}

impl Detours for ToTheHouse {
    fn leads_to(&self, _: &PeerKey) -> bool {
        true
    }

    fn open(&self, peer: PeerKey) -> BoxFuture<'static, std::io::Result<Detour>> {
        let io = Box::new(stream(&self.listener, self.who, 4096));
        let is_relayed = false;
        ready(Ok(Detour {
            peer,
            is_relayed,
            io,
        }))
        .boxed()
    }

    fn until_direct(&self, _: PeerKey) -> BoxFuture<'static, ()> {
        pending().boxed()
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
        let asked = redeem(invitation, &self.binding);
        self.say(asked).await;
    }

    /// Presents a grant for `snapshot` that the member `who` gave itself.
    async fn present(&mut self, who: &Identity, snapshot: SnapshotId) {
        let me = who.peer_key();
        let grant = Grant {
            issuer: me,
            holder: me,
            scope: Scope::Snapshot(snapshot),
            rights: Rights::READ,
            issued_unix_s: 0,
            expires_unix_s: None,
            nonce: [0; 16],
        };
        let grant = SignedGrant::sign(grant, who.keypair());
        let presentation = Presentation::new(grant, who.keypair(), &self.binding);
        self.say(Present { presentation }).await;
    }

    /// The next message; nothing once the other side has hung up.
    async fn hear(&mut self) -> Option<Message> {
        let (message, length) = self.link.reader.message(|_| true).await.ok()?;
        let mut payload = vec![0; length];
        self.link.reader.payload(&mut payload).await.ok()?;
        Some(message)
    }
}

fn redeem(invitation: &Invitation, binding: &Binding) -> Redeem {
    let team = TeamId::of(invitation.root.as_bytes());
    let key = invitation.secret.keypair();
    Redeem {
        redemption: Redemption::new(&team, &key, binding),
        name: TeamName::cut(""),
    }
}

#[tokio::test]
async fn who_is_no_member_any_more_may_ask_for_nothing_on_an_open_connection() {
    let (house, bob) = (House::open().await, Identity::generate());
    house.admit(&bob, 3600);
    let mut client = house.enter(&bob).await;
    client.present(&bob, house.snapshot).await;
    let heard = client.hear().await;
    assert!(matches!(heard, Some(Message::Admitted(_))), "{heard:?}");
    house.team.clock().pass(3600 + CLOCK_TOLERANCE_S + 1);
    client.present(&bob, house.snapshot).await;
    let mut heard = Vec::new();
    while let Some(message) = client.hear().await {
        heard.push(message);
    }
    let admitted = |message: &Message| matches!(message, Message::Admitted(_));
    assert!(!heard.iter().any(admitted), "{heard:?}");
    let Some(Message::Bye(bye)) = heard.last() else {
        panic!("{heard:?}")
    };
    assert_eq!(bye.reason, ByeReason::Revoked);
}

#[tokio::test]
async fn who_presents_the_same_again_and_again_is_in_the_crowd_once() {
    let (house, bob) = (House::open().await, Identity::generate());
    house.admit(&bob, 3600);
    let mut client = house.enter(&bob).await;
    for _ in 0..100 {
        client.present(&bob, house.snapshot).await;
        let heard = client.hear().await;
        assert!(matches!(heard, Some(Message::Admitted(_))), "{heard:?}");
    }
    // By the answer to this, what went before is done.
    client.say(Ping { token: 1 }).await;
    let heard = client.hear().await;
    assert!(matches!(heard, Some(Message::Pong(_))), "{heard:?}");
    assert!(house.endpoint.crowd().is_there(&house.snapshot));
    assert_eq!(house.endpoint.crowd().joined(), 1);
}

/// What a guest hears that waits for so long before each message but the first.
async fn heard_by_a_guest(wait: Duration) -> Vec<Message> {
    let house = House::open().await;
    let mut guest = house.connect(&Identity::generate()).await;
    guest.redeem(&house.invite(1)).await;
    let mut heard = Vec::new();
    while let Some(message) = guest.hear().await {
        heard.push(message);
        tokio::time::sleep(wait).await;
    }
    heard
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_is_welcome_has_half_a_minute_to_hear_all() {
    let heard = heard_by_a_guest(Duration::from_secs(9)).await;
    let [
        Message::Welcome(_),
        Message::TeamOperations(_),
        Message::TeamSecret(_),
        Message::Bye(bye),
    ] = &heard[..]
    else {
        panic!("{heard:?}")
    };
    assert_eq!(bye.reason, ByeReason::Done);
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_takes_longer_is_left() {
    let heard = heard_by_a_guest(Duration::from_secs(20)).await;
    let Some(Message::Bye(bye)) = heard.last() else {
        panic!("{heard:?}")
    };
    assert_eq!(bye.reason, ByeReason::NotAdmitted);
}

#[tokio::test]
async fn who_has_no_invitation_takes_no_place_of_those_who_have_one() {
    let house = House::open().await;
    let (crowd, eve) = (Identity::generate(), Identity::generate());
    let invitation = house.invite(1);
    let _at_work = house.take_all_places(&crowd, &invitation).await;
    let mut one_more = house.connect(&crowd).await;
    one_more.redeem(&invitation).await;
    let Some(Message::NotEntered(no)) = one_more.hear().await else {
        panic!("told to come back")
    };
    assert!(matches!(no.reason, NotEnteredReason::Full { .. }));
    let forged = Invitation {
        secret: InvitationSecret::from_bytes([7; 32]),
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

#[tokio::test(start_paused = true)]
async fn a_guest_that_found_no_place_comes_back_until_it_has_one() {
    let (house, bob) = (House::open().await, Identity::generate());
    let invitation = house.invite(1);
    let _at_work = house.take_all_places(&bob, &invitation).await;
    let dir = tempfile::tempdir().unwrap();
    let book = TeamBook::load(dir.path(), &bob).unwrap();
    let store = Store::open(RealDisk::shared(), dir.path(), StoreOptions::default()).unwrap();
    let endpoint = Endpoint::new(bob.clone(), store, "guest").unwrap();
    endpoint.set_detours(Some(Arc::new(ToTheHouse {
        listener: Arc::clone(&house.listener),
        who: bob.peer_key(),
    })));
    let name = TeamName::cut("bob");
    join(&endpoint, &book, invitation, name).await.unwrap();
    assert!(book.is_in());
}
