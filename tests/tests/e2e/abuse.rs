//! Members that want more of each other's nodes than they may have.

use std::net::Ipv4Addr;
use std::path::Path;

use shoal_control::Protocol;
use shoal_node::identity::Identity;
use shoal_protocol::access::team::Invitation;
use shoal_protocol::access::{Grant, Rights, Scope, SignedGrant};
use shoal_protocol::advert::{Locate, Refusal, Sought, TTL_S_MAX};
use shoal_protocol::bounded::List;
use shoal_protocol::id::{ChunkId, SnapshotId};
use shoal_protocol::wire::{Message, RefusedReason};
use shoal_tests::data;
use shoal_tests::guest::Guest;
use shoal_tests::rogue::{Rogue, keys};
use tokio::runtime::Runtime;

use crate::team::Node;

/// A file that is one chunk, and no other file's.
const ONE_CHUNK: usize = 12_000;

/// A flood of so many batches is held back at some point, or never.
const FLOOD_MAX: usize = 50_000;

/// Writes a file, and gives where.
fn write(dir: &Path, name: &str, bytes: &[u8]) -> String {
    std::fs::create_dir_all(dir).unwrap();
    let file = dir.join(name);
    std::fs::write(&file, bytes).unwrap();
    file.to_string_lossy().into_owned()
}

/// Alice has something private. Mallory, a member, gives the team a folder whose manifest
/// names the chunk of it beside one of his own, without having its bytes. Alice gets that
/// folder: she has the chunk, so her copy is whole. Nobody gets the chunk out of her, by the
/// folder or by its id.
#[test]
fn a_forged_manifest_draws_nothing_private_out_of_a_node_that_got_it() {
    let alice = Node::founder("alice");
    let (mallory, carol) = (Node::new(), Node::new());
    mallory.join(&alice.invite(), "mallory");
    carol.join(&alice.invite(), "carol");
    for node in [&alice, &mallory, &carol] {
        node.meets(2);
    }
    let secret = data::bytes("secret", ONE_CHUNK);
    let decoy = data::bytes("decoy", ONE_CHUNK);
    let file = write(alice.home.outside(), "diary", &secret);
    alice.ok(&["add", "--private", &file]);

    let forged = mallory.home.outside().join("forged");
    write(&forged, "decoy", &decoy);
    let named = write(&forged, "named", &secret);
    let id = mallory.ok(&["add", "--in-place", &forged.to_string_lossy()]);
    let id = id.trim();
    // From here on he has the manifest and not what it names.
    write(&forged, "named", &data::bytes("other", ONE_CHUNK));
    let to = carol
        .home
        .outside()
        .join("before")
        .to_string_lossy()
        .into_owned();
    let get = |node: &Node, to: &str| node.code(&["get", id, to, "--timeout", "4s"]);
    assert_eq!(get(&carol, &to), 5, "nobody serves all of it");

    let to = alice.home.outside().join("got");
    alice.ok(&["get", id, &to.to_string_lossy(), "--timeout", "30s"]);
    assert_eq!(std::fs::read(to.join("named")).unwrap(), secret);
    assert_eq!(std::fs::read(to.join("decoy")).unwrap(), decoy);

    for node in [&carol, &mallory] {
        let to = node.home.outside().join("after");
        assert_eq!(get(node, &to.to_string_lossy()), 5, "nor does it now");
        assert!(!holds(node.home.outside(), &secret, Path::new(&named)));
        let chunk = ChunkId::of(&secret).to_string();
        assert_eq!(node.code(&["cat", &chunk]), 5, "nor by its id");
    }
    // What came over the wire is offered on all the same.
    mallory.daemon.kill();
    let chunk = ChunkId::of(&decoy).to_string();
    while carol.code(&["cat", &chunk]) != 0 {}
    let to = carol.home.outside().join("last");
    assert_eq!(get(&carol, &to.to_string_lossy()), 5);
    assert!(!holds(carol.home.outside(), &secret, Path::new("")));
}

/// Whether any file beneath `dir`, packs included, has `bytes` in it; `but` is left out.
fn holds(dir: &Path, bytes: &[u8], but: &Path) -> bool {
    let mut entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries.any(|entry| {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            return holds(&path, bytes, but);
        }
        let contents = match kind.is_file() && path != but {
            true => std::fs::read(&path).unwrap(),
            false => Vec::new(),
        };
        contents.windows(64).any(|window| window == &bytes[..64])
    })
}

/// Asked for with the commands that there are, and by a member that asks, whether it was told
/// that there is something or not, the node that has it: for the snapshot, and for where its
/// chunk stands.
#[test]
fn a_private_snapshot_is_to_other_members_like_one_that_is_not_there() {
    let alice = Node::founder("alice");
    let bob = Node::new();
    let invitation = alice.invite();
    bob.join(&invitation, "bob");
    bob.meets(1);
    alice.meets(1);
    let diary = data::bytes("diary", ONE_CHUNK);
    let file = write(alice.home.outside(), "diary", &diary);
    let private = alice.ok(&["add", "--private", &file]).trim().to_owned();
    let shared = alice.add("shared", ONE_CHUNK);
    let nobodys = SnapshotId::of(b"nobody has this").to_string();
    for command in [
        &["get", "ID", "to", "--timeout", "4s"][..],
        &["whereis", "ID"],
    ] {
        let [of_private, of_nobodys] = [&private, &nobodys].map(|id| {
            let args = command.iter().map(|word| word.replace("ID", id));
            let args: Vec<String> = args.collect();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let said = bob.home.run(&args);
            let short = id.parse::<SnapshotId>().unwrap().short();
            let nameless = |text: &str| text.replace(id, "ID").replace(&short, "ID");
            (said.code(), nameless(&said.stdout), nameless(&said.stderr))
        });
        assert_eq!(of_private, of_nobodys, "{command:?}");
        assert!([4, 5].contains(&of_private.0), "{of_private:?}");
    }
    assert_eq!(alice.code(&["ls", &private]), 0, "it is there");

    let runtime = Runtime::new().unwrap();
    let mallory = runtime.block_on(Mallory::instead_of(bob, &alice, &invitation));
    let [private, shared, nobodys] = [private, shared, nobodys].map(|id| id.parse().unwrap());
    let answer = |snapshot| runtime.block_on(mallory.asks_for(&alice, snapshot));
    assert_eq!(answer(shared), None, "it is let in");
    assert_eq!(answer(private), Some(RefusedReason::NotPermitted));
    assert_eq!(answer(nobodys), Some(RefusedReason::NotPermitted));
    let is_told_where = |bytes: &[u8]| {
        let sought = List::new(vec![Sought::Chunk(ChunkId::of(bytes))]).unwrap();
        let question = Locate { sought };
        let located = runtime.block_on(mallory.rogue.locate(&question));
        located.is_some_and(|located| !located.places.is_empty())
    };
    // What came later is listed later.
    while !is_told_where(&data::bytes("shared", ONE_CHUNK)) {}
    assert!(!is_told_where(&diary));
}

/// A member that is not the node that it was.
struct Mallory {
    identity: Identity,
    invitation: Invitation,
    rogue: Rogue,
}

impl Mallory {
    /// With the key of a member whose node goes off for it; connected to one that is up, whose
    /// `invitation` it had.
    async fn instead_of(member: Node, at: &Node, invitation: &str) -> Self {
        member.daemon.signal_and_wait();
        let identity = Identity::load_or_create(&member.home.path()).unwrap();
        let invitation = Invitation::from_text(invitation).unwrap();
        let control = (Ipv4Addr::LOCALHOST, at.port + 1).into();
        Self {
            rogue: Rogue::connect(control, &invitation, &identity)
                .await
                .unwrap(),
            identity,
            invitation,
        }
    }

    /// Asks the node that invited it for a snapshot, as a member does; gives why it is not let
    /// in, unless it is.
    async fn asks_for(&self, at: &Node, snapshot: SnapshotId) -> Option<RefusedReason> {
        let me = self.identity.peer_key();
        let grant = Grant {
            issuer: me,
            holder: me,
            scope: Scope::Snapshot(snapshot),
            rights: Rights::READ,
            issued_unix_s: 0,
            expires_unix_s: None,
            nonce: rand::random(),
        };
        let grant = SignedGrant::sign(grant, self.identity.keypair());
        let data = (Ipv4Addr::LOCALHOST, at.port).into();
        let guest = Guest::connect(data, self.invitation.minter, &self.identity);
        let mut guest = guest.await.unwrap();
        guest.enter(&self.invitation.root).await.unwrap();
        guest
            .present(&grant, self.identity.keypair())
            .await
            .unwrap();
        match guest.hear().await.unwrap() {
            Message::Refused(refused) => Some(refused.reason),
            Message::Admitted(admitted) => {
                assert_eq!(admitted.snapshot.id(), snapshot);
                None
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_member_that_floods_a_node_with_records_is_held_back_and_others_find_what_there_is() {
    let alice = Node::founder("alice");
    let (bob, mallory) = (Node::new(), Node::new());
    bob.join(&alice.invite(), "bob");
    let invitation = alice.invite();
    mallory.join(&invitation, "mallory");
    bob.meets(1);
    let runtime = Runtime::new().unwrap();
    let mallory = runtime.block_on(Mallory::instead_of(mallory, &alice, &invitation));
    let rogue = mallory.rogue;
    let epoch = runtime.block_on(rogue.epoch()).unwrap();
    let send = |batch| runtime.block_on(rogue.send(&batch)).unwrap();
    for (batch, refusal) in [
        (keys(epoch + 1, TTL_S_MAX, 10), Refusal::Epoch),
        (keys(epoch, TTL_S_MAX + 1, 10), Refusal::Ttl),
        (keys(epoch, u32::MAX, 10), Refusal::Ttl),
        (keys(epoch, 0, 10), Refusal::Ttl),
    ] {
        let ack = send(batch);
        assert_eq!((ack.accepted, ack.refusal), (0, Some(refusal)));
    }
    for garbage in [vec![], vec![0xff; 4096]] {
        let answer = rogue.send_bytes(Protocol::Advert, garbage);
        assert_eq!(runtime.block_on(answer), None);
    }
    // A batch of one key counts as many, and is quick.
    let flood = || send(keys(epoch, TTL_S_MAX, 1)).refusal;
    let is_held_back = |refusal| matches!(refusal, Some(Refusal::Rate { .. }));
    let mut batches = 0..FLOOD_MAX;
    assert!(
        batches.any(|_| is_held_back(flood())),
        "all of a flood is taken"
    );
    let id = bob.add("weights", 1_000_000);
    while !alice.ok(&["whereis", &id]).contains("bob") {
        flood();
    }
    alice.assert_gets(&id, "weights", 1_000_000);
}
