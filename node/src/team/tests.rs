//! What a node keeps and says of its team, as facts.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use libp2p_identity::ed25519::Keypair;
use shoal_protocol::access::Nonce;
use shoal_protocol::access::grant::CLOCK_TOLERANCE_S;
use shoal_protocol::access::presentation::Binding;
use shoal_protocol::access::team::{
    ACTION_BYTES_MAX, Action, Batch, EpochSecret, Invitation, MemberName, Operation,
    REVOCATIONS_ROOM_BYTES, Redemption, SignedOperation, TEAM_BYTES_MAX, Team, TeamName,
    UnknownAction,
};
use shoal_protocol::wire::{NotEnteredReason, NotWelcomeReason, Redeem};
use tokio::time::timeout;

use super::book::{Entry, TeamBook};
use super::exchange::Exchange;
use super::file::TeamFileError;
use super::*;
use crate::identity::Identity;
use crate::node::{Node, NodeOptions};

/// A node that may be in a team.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    pub(crate) identity: Identity,
    pub(crate) book: TeamBook,
}

impl Home {
    pub(crate) fn new() -> Self {
        let (dir, identity) = (tempfile::tempdir().unwrap(), Identity::generate());
        let book = TeamBook::load(dir.path(), &identity).unwrap();
        Self {
            dir,
            identity,
            book,
        }
    }

    pub(crate) fn founder() -> Self {
        let home = Self::new();
        home.book.create(name("lab"), name("alice")).unwrap();
        home
    }

    /// What the home remembers, read anew.
    fn again(&self) -> TeamBook {
        TeamBook::load(self.dir.path(), &self.identity).unwrap()
    }

    /// Redeems a new invitation of `minter`; what that says.
    fn redeem(&self, minter: &Home, uses: u32, expires_unix_s: u64) -> Guest {
        let invitation = minter.invite(uses, expires_unix_s);
        self.redeem_with(&invitation.secret.keypair(), minter)
    }

    fn redeem_with(&self, key: &Keypair, minter: &Home) -> Guest {
        let ours = binding(self, minter);
        let (id, ..) = minter.book.team().unwrap();
        let asked = Redeem {
            redemption: Redemption::new(&id, key, &ours),
            name: name("bob"),
        };
        let checked = minter.book.check_redemption(&asked, &ours);
        let guest = minter.book.redeem(&asked, &ours);
        assert_eq!(checked.err(), reason(&guest), "the look says the same");
        guest
    }

    fn invite(&self, uses: u32, expires_unix_s: u64) -> Invitation {
        self.invite_to_stay(uses, expires_unix_s, None)
    }

    fn invite_to_stay(&self, uses: u32, expires_unix_s: u64, stay_s: Option<u64>) -> Invitation {
        let name = name("guest");
        let invited = self.book.invite(vec![], uses, expires_unix_s, stay_s, name);
        invited.unwrap()
    }

    /// Whether `action` has the team written down and others told of it.
    fn writes<T>(&self, action: impl FnOnce() -> T) -> (bool, T) {
        // Each time, another file takes the place of the last; that one stays open meanwhile,
        // so that the new one cannot have its number.
        let path = self.dir.path().join("team");
        let last = std::fs::File::open(&path).unwrap();
        let changes = self.book.changes();
        let done = action();
        let number = std::fs::metadata(&path).unwrap().ino();
        let is_written = last.metadata().unwrap().ino() != number;
        assert_eq!(is_written, changes.has_changed().unwrap());
        (is_written, done)
    }

    pub(crate) fn join(&self, minter: &Home) {
        self.join_to_stay(minter, None);
    }

    fn join_to_stay(&self, minter: &Home, stay_s: Option<u64>) {
        let invitation = minter.invite_to_stay(1, u64::MAX, stay_s);
        let Guest::Welcome {
            operations, secret, ..
        } = self.redeem_with(&invitation.secret.keypair(), minter)
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

/// Why a guest is not welcome.
fn reason(guest: &Guest) -> Option<NotWelcomeReason> {
    match guest {
        Guest::NotWelcome(reason) => Some(*reason),
        Guest::Welcome { .. } => None,
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
        if !next.goes_on(&said) {
            return;
        }
        said = next.bytes;
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
    assert_eq!(reason(&Home::new().redeem(&alice, 1, u64::MAX)), None);
    let over = Home::new().redeem(&alice, 1, 1);
    assert_eq!(reason(&over), Some(NotWelcomeReason::Expired));
    let used = Home::new().redeem(&alice, 0, u64::MAX);
    assert_eq!(reason(&used), Some(NotWelcomeReason::UsedUp));
    // Where there is no team, or no such invitation, nothing more is said.
    let stranger = Home::new();
    let ours = binding(&stranger, &alice);
    let (id, ..) = alice.book.team().unwrap();
    let forged = Redeem {
        redemption: Redemption::new(&id, stranger.identity.keypair(), &ours),
        name: name("eve"),
    };
    for minter in [&alice, &stranger] {
        let said = reason(&minter.book.redeem(&forged, &ours));
        assert_eq!(said, Some(NotWelcomeReason::NotPermitted));
    }
}

#[test]
fn who_is_not_welcome_has_nothing_written_and_nobody_told() {
    let alice = Home::founder();
    let twice = alice.invite(2, u64::MAX).secret.keypair();
    let (bob, eve) = (Home::new(), Home::new());
    let (is_written, welcome) = alice.writes(|| bob.redeem_with(&twice, &alice));
    assert!(is_written && reason(&welcome).is_none());
    let check = |guest: &Home, key: &Keypair, expect| {
        let (is_written, said) = alice.writes(|| guest.redeem_with(key, &alice));
        assert_eq!((is_written, reason(&said)), (false, expect));
    };
    let forged = eve.identity.keypair();
    check(&eve, forged, Some(NotWelcomeReason::NotPermitted));
    // Each is forgotten when the next is made.
    let over = alice.invite(1, 1).secret.keypair();
    check(&eve, &over, Some(NotWelcomeReason::Expired));
    let used = alice.invite(0, u64::MAX).secret.keypair();
    check(&eve, &used, Some(NotWelcomeReason::UsedUp));
    check(&bob, &twice, None);
    alice.book.revoke(bob.book.me(), None).unwrap();
    check(&bob, &twice, Some(NotWelcomeReason::Revoked));
}

#[test]
fn an_invitation_that_lets_nobody_in_any_more_is_not_used_up() {
    let alice = Home::new();
    let root = alice.book.create(name("lab"), name("alice")).unwrap();
    let key = alice.invite(1, u64::MAX).secret.keypair();
    alice.book.revoke(alice.book.me(), Some(&root)).unwrap();
    let (is_written, said) = alice.writes(|| Home::new().redeem_with(&key, &alice));
    let unable = Some(NotWelcomeReason::Unable);
    assert_eq!((is_written, reason(&said)), (false, unable));
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
}

#[test]
fn who_is_revoked_hears_that_it_was_and_nothing_more() {
    let (alice, bob, carol, dave) = (Home::founder(), Home::new(), Home::new(), Home::new());
    for home in [&bob, &carol] {
        home.join(&alice);
    }
    assert!(bob.book.check_in().is_ok());
    alice.book.revoke(bob.book.me(), None).unwrap();
    dave.join(&alice);
    // By a member who was told, whoever it is.
    meet(&carol, &alice);
    let before = bob.book.secret();
    meet(&bob, &carol);
    let ended = bob.book.check_in().unwrap_err();
    assert!(
        matches!(ended, TeamError::Ended(_, Ended::Revoked)),
        "{ended}"
    );
    assert!(bob.book.secret() == before, "the new secret is not for it");
    let members = bob.book.members();
    let knows = |home: &Home| members.iter().any(|m| m.node == home.book.me());
    assert!(knows(&bob) && !knows(&dave));
    // What it says now counts for nobody.
    let said = Exchange::first(&bob.book).unwrap();
    let (is_written, answer) =
        carol.writes(|| Exchange::answer(&carol.book, &bob.book.me(), &said, 1 << 20).unwrap());
    assert!(!is_written);
    // It would not take the secret, so what it is sent is looked at.
    let (_, secret) = carol.book.secret().unwrap();
    let sent = answer.unwrap().bytes;
    assert!(!sent.windows(32).any(|bytes| bytes == secret.as_bytes()));
    let stranger = Exchange::answer(&carol.book, &Home::new().book.me(), &said, 1 << 20);
    assert!(stranger.unwrap().is_none(), "a stranger hears nothing");
}

#[test]
fn who_is_revoked_is_not_listened_to_though_others_signed_what_it_tells() {
    let (alice, bob, carol, dave) = (Home::new(), Home::new(), Home::new(), Home::new());
    let root = alice.book.create(name("lab"), name("alice")).unwrap();
    for home in [&carol, &bob, &dave] {
        home.join(&alice);
    }
    meet(&bob, &alice);
    alice.book.revoke(bob.book.me(), Some(&root)).unwrap();
    carol.book.merge(of_root(&alice)).unwrap();
    let asked = Exchange::first(&carol.book).unwrap();
    let told = Exchange::answer(&bob.book, &carol.book.me(), &asked, 1 << 20).unwrap();
    let told = told.unwrap();
    assert!(told.goes_on(&asked), "it has news");
    let hears = || Exchange::answer(&carol.book, &bob.book.me(), &told.bytes, 1 << 20).unwrap();
    let (is_written, answer) = carol.writes(hears);
    assert!(!is_written && answer.is_some());
}

/// What was signed with the root key.
fn of_root(home: &Home) -> Vec<SignedOperation> {
    let of_root = |team: &Team| {
        let all = team.operations().into_iter();
        all.filter(|signed| signed.operation.author == team.root())
            .cloned()
            .collect()
    };
    home.book.with_team(of_root).unwrap()
}

#[test]
fn a_home_that_left_does_not_come_back_but_may_go_elsewhere() {
    let (alice, bob, carol) = (Home::founder(), Home::new(), Home::new());
    carol.book.create(name("other"), name("carol")).unwrap();
    bob.join(&alice);
    let (lab, other) = (alice.book.root().unwrap(), carol.book.root().unwrap());
    assert!(matches!(
        bob.book.may_enter(&lab),
        Err(TeamError::Another(_))
    ));
    assert!(matches!(
        bob.book.may_enter(&other),
        Err(TeamError::Another(_))
    ));
    bob.book.revoke(bob.book.me(), None).unwrap();
    // Nobody heard it, and would let it in: what it said holds all the same.
    for book in [&bob.book, &bob.again()] {
        let back = book.may_enter(&lab);
        assert!(
            matches!(back, Err(TeamError::Ended(_, Ended::Left))),
            "{back:?}"
        );
    }
    bob.join(&carol);
    assert_eq!(bob.book.root(), Some(other));
    let dave = Home::new();
    dave.join(&alice);
    dave.book.revoke(dave.book.me(), None).unwrap();
    dave.book.create(name("mine"), name("dave")).unwrap();
    assert!(dave.again().is_in());
}

#[test]
fn who_is_in_for_a_time_is_let_in_anew_when_that_is_over() {
    let (alice, bob) = (Home::founder(), Home::new());
    bob.join_to_stay(&alice, Some(STAY));
    let lab = alice.book.root().unwrap();
    assert!(bob.book.may_enter(&lab).is_err(), "it is in");
    let end = |home: &Home| {
        let members = home.book.members();
        let member = members.iter().find(|m| m.node == bob.book.me()).unwrap();
        member.expires_unix_s.unwrap()
    };
    let first = end(&alice);
    // Its time is over, though clocks may be apart.
    for over in [STAY + 1, OVER] {
        for home in [&alice, &bob] {
            home.book.clock().pass(over);
        }
        assert!(bob.book.may_enter(&lab).is_ok());
        let before = end(&alice);
        bob.join_to_stay(&alice, Some(STAY));
        assert!(end(&alice) > before && end(&bob) == end(&alice));
        assert!(bob.book.is_in() && bob.book.may_enter(&lab).is_err());
    }
    assert!(end(&bob) > first + STAY);
}

#[test]
fn the_only_admin_of_others_is_told_apart() {
    let (alice, bob, carol) = (Home::new(), Home::new(), Home::new());
    let root = alice.book.create(name("lab"), name("alice")).unwrap();
    assert!(!alice.book.is_last_admin(), "nobody else is in");
    bob.join(&alice);
    carol.join(&alice);
    assert!(alice.book.is_last_admin() && !bob.book.is_last_admin());
    alice.book.name_admin(bob.book.me(), &root).unwrap();
    assert!(!alice.book.is_last_admin());
}

/// In seconds.
const STAY: u64 = 3600;
/// A membership is over for everybody behind what clocks may be apart.
const OVER: u64 = STAY + CLOCK_TOLERANCE_S + 1;

#[tokio::test(start_paused = true)]
async fn a_membership_that_ends_in_time_ends_what_is_open() {
    let (alice, bob) = (Home::founder(), Home::new());
    bob.join_to_stay(&alice, Some(STAY));
    let Entry::Open { revoked, .. } = bob.knock(&alice) else {
        panic!("a member is let in")
    };
    let mut changes = alice.book.changes();
    let book = alice.book.clone();
    tokio::spawn(async move { book.end_in_time().await });
    let long = Duration::from_secs(10 * STAY);
    alice.book.clock().pass(STAY);
    tokio::time::sleep(long).await;
    assert!(!revoked.is_cancelled());
    assert!(!changes.has_changed().unwrap());
    alice.book.clock().pass(OVER - STAY);
    timeout(long, revoked.cancelled()).await.unwrap();
    // By this, the control plane looks again.
    timeout(long, changes.changed()).await.unwrap().unwrap();
    let closed = bob.knock(&alice);
    assert!(matches!(
        closed,
        Entry::Closed(NotEnteredReason::NotPermitted)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_node_looks_for_memberships_that_end() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let node = Node::open(&home, NodeOptions::default()).await.unwrap();
    let (book, identity) = (node.team().clone(), node.identity().clone());
    book.create(name("lab"), name("alice")).unwrap();
    let alice = Home {
        dir,
        identity,
        book,
    };
    let bob = Home::new();
    bob.join_to_stay(&alice, Some(STAY));
    let Entry::Open { revoked, .. } = bob.knock(&alice) else {
        panic!("a member is let in")
    };
    alice.book.clock().pass(OVER);
    let long = Duration::from_secs(STAY);
    timeout(long, revoked.cancelled()).await.unwrap();
    node.shut_down().await.unwrap();
}

#[test]
fn who_is_known_by_its_proof_alone_stays_as_long_as_that_holds() {
    let alice = Home::new();
    let root = alice.book.create(name("lab"), name("alice")).unwrap();
    let (bob, carol) = (Home::new(), Home::new());
    bob.join(&alice);
    carol.join_to_stay(&alice, Some(STAY));
    let Entry::Open { revoked, .. } = carol.knock(&bob) else {
        panic!("its proof lets it in")
    };
    // Something else changes, and Bob hears of that alone.
    alice.book.name_admin(bob.book.me(), &root).unwrap();
    assert_eq!(bob.book.merge(of_root(&alice)).unwrap().new.len(), 1);
    assert!(!bob.book.is_member(&carol.book.me()));
    assert!(bob.book.recheck(&carol.book.me()) && !revoked.is_cancelled());
    bob.book.clock().pass(OVER);
    assert!(!bob.book.recheck(&carol.book.me()));
    assert!(revoked.is_cancelled());
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

/// Operations of an admin as long as they may be, behind the last that its node knows.
fn bulky(admin: &Home, count: usize) -> Vec<SignedOperation> {
    let team = admin.book.with_team(Team::clone).unwrap();
    let body = vec![0; ACTION_BYTES_MAX];
    let unknown = Action::Unknown(UnknownAction::new(99, body).unwrap());
    let first = team.sign(admin.identity.keypair(), 0, unknown);
    let mut all = vec![first];
    for _ in 1..count {
        let last = &all[all.len() - 1];
        let next = Operation {
            sequence: last.operation.sequence + 1,
            previous: Some(last.id()),
            ..last.operation.clone()
        };
        all.push(SignedOperation::sign(next, admin.identity.keypair()));
    }
    all
}

#[test]
fn members_who_refuse_what_is_new_to_them_come_to_an_end_and_tell_nobody() {
    let alice = Home::new();
    let root = alice.book.create(name("lab"), name("alice")).unwrap();
    let bob = Home::new();
    bob.join(&alice);
    alice.book.name_admin(bob.book.me(), &root).unwrap();
    let each = bulky(&alice, 1)[0].to_bytes().len();
    let used = alice.book.with_team(Team::bytes).unwrap();
    let fit = (TEAM_BYTES_MAX - REVOCATIONS_ROOM_BYTES - used) / each;
    alice.book.merge(bulky(&alice, fit - 1)).unwrap();
    meet(&alice, &bob);
    // The last place is taken here by this, there by that.
    for home in [&alice, &bob] {
        assert_eq!(home.book.merge(bulky(home, 1)).unwrap().new.len(), 1);
    }
    let knows = |home: &Home| home.book.with_team(Team::clone);
    let before = [&alice, &bob].map(knows);
    let (at_alice, (at_bob, ())) = alice.writes(|| bob.writes(|| meet(&alice, &bob)));
    assert!(!at_alice && !at_bob);
    assert!(before == [&alice, &bob].map(knows) && before[0] != before[1]);
}

#[test]
fn a_secret_that_is_not_the_one_in_force_changes_nothing() {
    let alice = Home::founder();
    let (number, secret) = alice.book.secret().unwrap();
    let other = EpochSecret::from_bytes([7; 32]);
    for (number, secret) in [
        (number + 1, other.clone()),
        (number, other),
        (number, secret),
    ] {
        let (is_written, learnt) = alice.writes(|| alice.book.learn_secret(number, secret));
        learnt.unwrap();
        assert!(!is_written);
    }
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
