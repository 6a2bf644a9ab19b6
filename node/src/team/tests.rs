//! What a node keeps and says of its team, as facts.

use shoal_protocol::access::Nonce;
use shoal_protocol::access::presentation::Binding;
use shoal_protocol::access::team::{Batch, MemberName, Redemption, TeamName};
use shoal_protocol::wire::{NotEnteredReason, NotWelcomeReason, Redeem};

use super::book::{Entry, Guest, TeamBook};
use super::exchange::Exchange;
use super::file::TeamFileError;
use super::*;
use crate::identity::Identity;

struct Home {
    dir: tempfile::TempDir,
    identity: Identity,
    book: TeamBook,
}

impl Home {
    fn new() -> Self {
        let (dir, identity) = (tempfile::tempdir().unwrap(), Identity::generate());
        let book = TeamBook::load(dir.path(), &identity).unwrap();
        Self {
            dir,
            identity,
            book,
        }
    }

    fn founder() -> Self {
        let home = Self::new();
        home.book.create(name("lab"), name("alice")).unwrap();
        home
    }

    /// What the home remembers, read anew.
    fn again(&self) -> TeamBook {
        TeamBook::load(self.dir.path(), &self.identity).unwrap()
    }

    /// Redeems an invitation of `minter`; what that says.
    fn redeem(&self, minter: &Home, uses: u32, expires_unix_s: u64) -> Guest {
        let invited = minter
            .book
            .invite(vec![], uses, expires_unix_s, None, name("guest"));
        let invitation = invited.unwrap();
        let ours = binding(self, minter);
        let (id, ..) = minter.book.team().unwrap();
        let asked = Redeem {
            redemption: Redemption::new(&id, &invitation.secret.keypair(), &ours),
            name: name("bob"),
        };
        minter.book.redeem(&asked, &ours)
    }

    fn join(&self, minter: &Home) {
        let Guest::Welcome {
            operations, secret, ..
        } = self.redeem(minter, 1, u64::MAX)
        else {
            panic!("not welcome")
        };
        let batches = operations.iter();
        let operations = batches
            .flat_map(|batch| Batch::from_bytes(batch).unwrap().into_operations())
            .collect();
        let root = minter.book.root().unwrap();
        let entered = self.book.enter_team(root, name("lab"), operations, secret);
        entered.unwrap();
    }

    /// What `server` says to this node when it wants to enter.
    fn knock(&self, server: &Home) -> Entry {
        let ours = binding(self, server);
        let enter = self.book.knock(&ours, true).unwrap();
        server.book.judge(&enter, &ours, Nonce([9; 32]))
    }
}

fn name(text: &str) -> MemberName {
    TeamName::cut(text)
}

fn binding(client: &Home, server: &Home) -> Binding {
    Binding {
        client: client.book.me(),
        server: server.book.me(),
        nonce: Nonce([7; 32]),
    }
}

/// Has `a` and `b` tell each other all that is new, as they do when they meet.
fn meet(a: &Home, b: &Home) {
    let mut said = Exchange::first(&a.book).unwrap();
    for _ in 0..10 {
        let answer = Exchange::answer(&b.book, &a.book.me(), &said, 1 << 20).unwrap();
        let next = Exchange::answer(&a.book, &b.book.me(), &answer.unwrap().bytes, 1 << 20);
        let next = next.unwrap().unwrap();
        said = next.bytes;
        if !next.brings {
            return;
        }
    }
    panic!("they do not come to an end");
}

#[test]
fn a_home_remembers_its_team() {
    let alice = Home::founder();
    let again = alice.again();
    assert_eq!(again.team(), alice.book.team());
    assert_eq!(again.secret(), alice.book.secret());
    assert!(again.is_in());
}

#[test]
fn a_file_that_others_may_read_or_that_is_damaged_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let alice = Home::founder();
    let path = alice.dir.path().join("team");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let exposed = TeamBook::load(alice.dir.path(), &alice.identity).map(|_| ());
    assert!(matches!(
        exposed,
        Err(TeamFileError::Exposed { mode: 0o640, .. })
    ));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let damaged = TeamBook::load(alice.dir.path(), &alice.identity).map(|_| ());
    assert!(matches!(damaged, Err(TeamFileError::Malformed { .. })));
}

#[test]
fn an_invitation_is_good_as_often_and_as_long_as_it_says() {
    let alice = Home::founder();
    let reason = |guest| match guest {
        Guest::NotWelcome(reason) => Some(reason),
        Guest::Welcome { .. } => None,
    };
    assert_eq!(reason(Home::new().redeem(&alice, 1, u64::MAX)), None);
    let over = Home::new().redeem(&alice, 1, 1);
    assert_eq!(reason(over), Some(NotWelcomeReason::Expired));
    let used = Home::new().redeem(&alice, 0, u64::MAX);
    assert_eq!(reason(used), Some(NotWelcomeReason::UsedUp));
    // Where there is no team, or no such invitation, nothing more is said.
    let stranger = Home::new();
    let ours = binding(&stranger, &alice);
    let (id, ..) = alice.book.team().unwrap();
    let forged = Redeem {
        redemption: Redemption::new(&id, stranger.identity.keypair(), &ours),
        name: name("eve"),
    };
    for minter in [&alice, &stranger] {
        let said = reason(minter.book.redeem(&forged, &ours));
        assert_eq!(said, Some(NotWelcomeReason::NotPermitted));
    }
}

#[test]
fn who_is_revoked_is_cut_off_on_sight_and_not_let_in_again() {
    let (alice, bob) = (Home::founder(), Home::new());
    bob.join(&alice);
    let Entry::Open { revoked, .. } = bob.knock(&alice) else {
        panic!("a member is let in")
    };
    let before = alice.book.secret();
    alice.book.revoke(bob.book.me(), None).unwrap();
    assert!(revoked.is_cancelled());
    assert!(alice.book.secret() != before, "a new epoch began");
    let closed = bob.knock(&alice);
    assert!(matches!(
        closed,
        Entry::Closed(NotEnteredReason::NotPermitted)
    ));
    let said = Exchange::first(&bob.book).unwrap();
    let answer = Exchange::answer(&alice.book, &bob.book.me(), &said, 1 << 20);
    assert!(answer.unwrap().is_none(), "nor told anything");
}

#[test]
fn members_who_meet_know_the_same_and_the_secret() {
    let (alice, bob, carol) = (Home::founder(), Home::new(), Home::new());
    bob.join(&alice);
    carol.join(&alice);
    assert!(!bob.book.is_member(&carol.book.me()));
    meet(&bob, &carol);
    assert!(bob.book.is_member(&carol.book.me()));
    alice.book.revoke(carol.book.me(), None).unwrap();
    meet(&alice, &bob);
    assert!(!bob.book.is_member(&carol.book.me()));
    assert_eq!(bob.book.secret(), alice.book.secret());
    assert_eq!(bob.again().secret(), alice.book.secret());
}

#[test]
fn a_stranger_shows_nothing_by_knocking() {
    let (alice, eve) = (Home::founder(), Home::founder());
    let closed = eve.knock(&alice);
    assert!(matches!(
        closed,
        Entry::Closed(NotEnteredReason::NotPermitted)
    ));
    assert!(
        Home::new()
            .book
            .knock(&binding(&eve, &alice), true)
            .is_none()
    );
}

#[test]
fn only_the_root_key_ends_admins() {
    let alice = Home::new();
    let root = alice.book.create(name("lab"), name("alice")).unwrap();
    let bob = Home::new();
    bob.join(&alice);
    alice.book.name_admin(bob.book.me(), &root).unwrap();
    let refused = alice.book.revoke(bob.book.me(), None);
    assert!(matches!(refused, Err(TeamError::NeedsRoot(_))));
    let other = libp2p_identity::ed25519::Keypair::generate();
    let refused = alice.book.revoke(bob.book.me(), Some(&other));
    assert!(matches!(refused, Err(TeamError::NotTheRoot)));
    alice.book.revoke(bob.book.me(), Some(&root)).unwrap();
    assert!(!alice.book.is_member(&bob.book.me()));
}
