//! The local API over real sockets, and two nodes of one machine over the wire.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};

use libp2p_identity::ed25519::Keypair;
use shoal_node::api::*;
use shoal_node::config::Config;
use shoal_node::daemon;
use shoal_protocol::access::{Grant, HolderSecret, Rights, Scope, SignedGrant, Ticket};
use shoal_protocol::peer::PeerKey;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// A home of its own, and a folder to work in.
struct Place {
    dir: TempDir,
    config: Config,
}

impl Place {
    fn new() -> Self {
        Self::listening_on("127.0.0.1:0")
    }

    fn listening_on(address: &str) -> Self {
        let config = Config {
            listen: vec![address.parse().unwrap()],
            ..Config::default()
        };
        Self {
            dir: tempfile::tempdir().unwrap(),
            config,
        }
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn what(&self, text: impl Into<String>) -> What {
        What {
            text: text.into(),
            cwd: self.dir.path().to_owned(),
        }
    }

    async fn client(&self) -> Client {
        let mode = ConnectMode::OrEmbed(Box::new(self.config.clone()));
        Client::connect(&self.home(), mode).await.unwrap()
    }

    /// Runs a daemon until it is shut down; it is ready when this returns.
    async fn daemon(&self) -> JoinHandle<Result<(), ApiError>> {
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let (home, config) = (self.home(), self.config.clone());
        let task = tokio::spawn(async move {
            let ready = |status| ready.send(status).expect("somebody waits");
            daemon::run(&home, config, ready).await
        });
        assert!(is_ready.await.expect("it opens").daemon);
        task
    }

    fn share(&self, path: &str) -> ShareRequest {
        ShareRequest {
            what: self.what(format!("./{path}")),
            expires_s: None,
            to: None,
            all: false,
        }
    }

    fn get(&self, what: &str, dest: &str) -> GetRequest {
        GetRequest {
            what: self.what(what),
            dest: Some(dest.into()),
            force: false,
            sync: false,
            timeout_s: Some(20),
            linger_s: None,
            down_max: None,
        }
    }

    async fn cat(&self, client: &Client, what: String, offset: u64) -> Vec<u8> {
        let request = CatRequest {
            what: self.what(what),
            offset,
            length: None,
            timeout_s: Some(20),
        };
        let mut bytes = client.cat(&request).await.unwrap();
        let mut all = Vec::new();
        while let Some(piece) = bytes.next().await {
            all.extend_from_slice(&piece.unwrap());
        }
        all
    }

    async fn ls(&self, client: &Client, what: &str) -> Vec<String> {
        let request = LsRequest {
            what: self.what(what),
            recursive: false,
            timeout_s: Some(20),
        };
        let (lines, _) = client.ls(&request).await.unwrap().finish().await.unwrap();
        lines.into_iter().map(|line| line.path).collect()
    }
}

fn write_folder(at: &Path) {
    std::fs::create_dir_all(at.join("sub/deep")).unwrap();
    std::fs::write(at.join("big"), noise(3 << 20)).unwrap();
    std::fs::write(at.join("sub/one"), b"one").unwrap();
    std::fs::write(at.join("sub/deep/two"), b"two").unwrap();
}

/// Bytes that no two chunks of are the same.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

/// The ticket, and the reply that keeps it served.
async fn ticket(events: &mut Events<Served, Shared>) -> String {
    loop {
        match events.next().await.unwrap().unwrap() {
            Event::Item(shared) => return shared.ticket,
            Event::Done(_) => panic!("no ticket came"),
            _ => {}
        }
    }
}

async fn got(client: &Client, request: &GetRequest) -> Result<Got, ApiError> {
    let (mut items, _) = client.get(request).await?.finish().await?;
    Ok(items.pop().expect("a get hands over what it got"))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_shares_and_another_looks_and_gets() {
    let (alice, bob) = (Place::new(), Place::new());
    write_folder(&alice.path("data"));
    let (at_alice, at_bob) = (alice.client().await, bob.client().await);
    let mut sharing = at_alice.share(&alice.share("data")).await.unwrap();
    let ticket = ticket(&mut sharing).await;

    assert_eq!(bob.ls(&at_bob, &ticket).await, ["big", "sub"]);
    assert_eq!(
        bob.ls(&at_bob, &format!("{ticket}:sub")).await,
        ["sub/deep", "sub/one"]
    );
    let tail = bob.cat(&at_bob, format!("{ticket}:big"), 1 << 20).await;
    assert!(tail == noise(3 << 20)[1 << 20..]);

    let first = got(&at_bob, &bob.get(&ticket, "copy")).await.unwrap();
    assert_eq!(first.dest, bob.path("copy"));
    assert!(std::fs::read(bob.path("copy/big")).unwrap() == noise(3 << 20));
    assert_eq!(
        std::fs::read(bob.path("copy/sub/deep/two")).unwrap(),
        b"two"
    );
    drop(sharing);
    at_alice.close().await.unwrap();

    let again = got(&at_bob, &bob.get(&ticket, "copy")).await.unwrap();
    assert_eq!(again.wire_in, 0, "it is all here");
    let part = format!("{}:sub/one", first.snapshot);
    got(&at_bob, &bob.get(&part, "lone")).await.unwrap();
    assert_eq!(std::fs::read(bob.path("lone")).unwrap(), b"one");
    let tail = bob.cat(&at_bob, "./copy/sub/one".to_owned(), 1).await;
    assert_eq!(tail, b"ne");
    at_bob.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_equal_gets_are_one_download() {
    let (alice, bob) = (Place::new(), Place::new());
    std::fs::write(alice.path("model"), noise(8 << 20)).unwrap();
    let (at_alice, at_bob) = (alice.client().await, bob.client().await);
    let mut sharing = at_alice.share(&alice.share("model")).await.unwrap();
    let ticket = ticket(&mut sharing).await;
    let request = bob.get(&ticket, "copy");
    let gets = (0..8).map(|_| got(&at_bob, &request));
    for result in futures::future::join_all(gets).await {
        assert_eq!(result.unwrap().bytes, 8 << 20);
    }
    let moved = at_bob.status().await.unwrap().wire_in;
    assert!(moved < 10 << 20, "{moved} bytes came in for 8 MiB");
    assert!(std::fs::read(bob.path("copy")).unwrap() == noise(8 << 20));
    drop(sharing);
    at_alice.close().await.unwrap();
    at_bob.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn gets_to_eight_places_are_one_download() {
    let (alice, bob) = (Place::new(), Place::new());
    std::fs::write(alice.path("model"), noise(8 << 20)).unwrap();
    let (at_alice, at_bob) = (alice.client().await, bob.client().await);
    let mut sharing = at_alice.share(&alice.share("model")).await.unwrap();
    let ticket = ticket(&mut sharing).await;
    let places = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let requests = places.map(|place| bob.get(&ticket, place));
    let gets = requests.iter().map(|request| got(&at_bob, request));
    for result in futures::future::join_all(gets).await {
        assert_eq!(result.unwrap().bytes, 8 << 20);
    }
    let moved = at_bob.status().await.unwrap().wire_in;
    assert!(moved < 10 << 20, "{moved} bytes came in for 8 MiB");
    for place in places {
        assert!(std::fs::read(bob.path(place)).unwrap() == noise(8 << 20));
    }
    drop(sharing);
    at_alice.close().await.unwrap();
    at_bob.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_lead_to_versions_and_diff_tells_them_apart() {
    let place = Place::new();
    write_folder(&place.path("data"));
    let client = place.client().await;
    let add = AddRequest {
        path: "data".into(),
        cwd: place.dir.path().to_owned(),
        name: Some("lab/set".to_owned()),
        message: Some("why".to_owned()),
        in_place: false,
        private: false,
        all: false,
    };
    let (_, first) = client.add(&add).await.unwrap().finish().await.unwrap();
    assert_eq!(first.version.as_deref(), Some("lab/set@v1"));
    std::fs::write(place.path("data/sub/one"), b"other").unwrap();
    std::fs::remove_file(place.path("data/big")).unwrap();
    let (_, second) = client.add(&add).await.unwrap().finish().await.unwrap();
    assert_eq!(second.version.as_deref(), Some("lab/set@v2"));
    let (_, same) = client.add(&add).await.unwrap().finish().await.unwrap();
    assert_eq!(
        same.version, second.version,
        "nothing changed, no new version"
    );

    let diff = DiffRequest {
        a: place.what("lab/set@v1"),
        b: place.what("lab/set"),
    };
    let (lines, done) = client.diff(&diff).await.unwrap().finish().await.unwrap();
    assert_eq!((done.added, done.removed, done.changed), (0, 1, 1));
    let lines: Vec<_> = lines
        .iter()
        .map(|line| (line.path.as_str(), line.change))
        .collect();
    assert_eq!(
        lines,
        [("big", Change::Removed), ("sub/one", Change::Content)]
    );

    let before = place.cat(&client, "lab/set@v1:sub/one".to_owned(), 0).await;
    assert_eq!(before, b"one");
    let du = client
        .du(&DuRequest {
            what: Some(place.what("lab/set")),
        })
        .await
        .unwrap();
    assert_eq!((du.bytes, du.entries), (8, 2));
    let names: Vec<_> = client
        .snapshots()
        .await
        .unwrap()
        .into_iter()
        .flat_map(|s| s.names)
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let verify = VerifyRequest {
        what: None,
        repair: false,
        timeout_s: None,
    };
    let (problems, _) = client
        .verify(&verify)
        .await
        .unwrap()
        .finish()
        .await
        .unwrap();
    assert_eq!(problems, []);
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_come_at_once_one_becomes_the_node() {
    let place = Place::new();
    let (first, second) = tokio::join!(place.client(), place.client());
    assert!(first.is_embedded() != second.is_embedded());
    assert_eq!(first.node(), second.node());
    let (node, guest) = if first.is_embedded() {
        (first, second)
    } else {
        (second, first)
    };
    guest.status().await.unwrap();
    guest.finish(|_| ()).await.unwrap();
    node.finish(|_| ()).await.unwrap();
    let missing = Client::connect(&place.home(), ConnectMode::Running).await;
    assert_eq!(missing.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_is_told_who_holds_the_store() {
    let place = Place::new();
    let daemon = place.daemon().await;
    let second = daemon::run(&place.home(), place.config.clone(), |_| ()).await;
    let error = second.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Busy);
    assert!(
        error.message.contains(&std::process::id().to_string()),
        "{}",
        error.message
    );
    let client = place.client().await;
    assert!(!client.is_embedded());
    client.shut_down().await.unwrap();
    daemon.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_serves_on_what_it_shared_before_it_was_restarted() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (alice, bob) = (Place::listening_on(&port.to_string()), Place::new());
    std::fs::write(alice.path("model"), noise(1 << 20)).unwrap();
    let daemon = alice.daemon().await;
    let client = alice.client().await;
    let (shared, _) = client
        .share(&alice.share("model"))
        .await
        .unwrap()
        .finish()
        .await
        .unwrap();
    assert!(shared[0].by_daemon);
    client.shut_down().await.unwrap();
    daemon.await.unwrap().unwrap();

    let daemon = alice.daemon().await;
    let at_bob = bob.client().await;
    let copy = got(&at_bob, &bob.get(&shared[0].ticket, "copy"))
        .await
        .unwrap();
    assert_eq!(copy.bytes, 1 << 20);
    at_bob.close().await.unwrap();
    let client = alice.client().await;
    assert_eq!(client.status().await.unwrap().shares.len(), 1);
    client.shut_down().await.unwrap();
    daemon.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_got_is_handed_on_under_the_same_right() {
    let (alice, bob, carol) = (Place::new(), Place::new(), Place::new());
    write_folder(&alice.path("data"));
    let (at_alice, at_bob, at_carol) = (
        alice.client().await,
        bob.client().await,
        carol.client().await,
    );
    let mut sharing = at_alice.share(&alice.share("data")).await.unwrap();
    let first = ticket(&mut sharing).await;
    let copy = got(&at_bob, &bob.get(&first, "copy")).await.unwrap();
    drop(sharing);
    at_alice.close().await.unwrap();

    let mut again = bob.share("");
    again.what = bob.what(copy.snapshot.to_string());
    let mut sharing = at_bob.share(&again).await.unwrap();
    let second = ticket(&mut sharing).await;
    got(&at_carol, &carol.get(&second, "copy")).await.unwrap();
    assert!(std::fs::read(carol.path("copy/big")).unwrap() == noise(3 << 20));
    drop(sharing);

    let stolen = carol.get(&copy.snapshot.to_string(), "elsewhere");
    at_carol.close().await.unwrap();
    let dave = Place::new();
    let at_dave = dave.client().await;
    let refused = got(&at_dave, &stolen).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::NotFound, "an id is not a right");
    at_dave.close().await.unwrap();
    at_bob.close().await.unwrap();
}

/// Mallory knows the id of something that Bob added, and has him use a ticket of her making.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_for_what_is_here_already_gives_its_issuer_nothing() {
    let (bob, mallory) = (Place::new(), Place::new());
    write_folder(&bob.path("secret"));
    let daemon = bob.daemon().await;
    let at_bob = bob.client().await;
    let add = AddRequest {
        path: "secret".into(),
        cwd: bob.dir.path().to_owned(),
        name: None,
        message: None,
        in_place: true,
        private: false,
        all: false,
    };
    let (_, added) = at_bob.add(&add).await.unwrap().finish().await.unwrap();

    let secret = HolderSecret::from_bytes([7; 32]);
    let issuer = Keypair::generate();
    let grant = Grant {
        issuer: PeerKey::of(&issuer),
        holder: PeerKey::of(&secret.keypair()),
        scope: Scope::Snapshot(added.snapshot),
        rights: Rights::READ,
        issued_unix_s: 0,
        expires_unix_s: None,
        nonce: [7; 16],
    };
    let status = at_bob.status().await.unwrap();
    let addresses = vec![status.listening[0].parse().unwrap()];
    let ticket = Ticket::new(SignedGrant::sign(grant, &issuer), Some(secret), None)
        .with_source(status.peer, addresses)
        .to_text();
    got(&at_bob, &bob.get(&ticket, "copy")).await.unwrap();

    let at_mallory = mallory.client().await;
    let refused = got(&at_mallory, &mallory.get(&ticket, "loot"))
        .await
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::NotPermitted, "{refused:?}");
    assert!(!mallory.path("loot").exists());
    at_mallory.close().await.unwrap();
    at_bob.shut_down().await.unwrap();
    daemon.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_answered_with_a_kind_and_a_hint() {
    let place = Place::new();
    let client = place.client().await;
    let kind = |error: Result<Got, ApiError>| {
        let error = error.unwrap_err();
        assert!(error.hint.is_some(), "{error:?}");
        error.kind
    };
    for (what, expect) in [
        ("shoal1garbage", ErrorKind::Usage),
        (&*format!("shoal1{}", "a".repeat(100_000)), ErrorKind::Usage),
        ("snap_12", ErrorKind::NotFound),
        ("lab/nothing", ErrorKind::NotFound),
        ("no such thing", ErrorKind::NotFound),
        ("./here", ErrorKind::Usage),
    ] {
        assert_eq!(
            kind(got(&client, &place.get(what, "copy")).await),
            expect,
            "{what:.20}"
        );
    }
    client.close().await.unwrap();
}
