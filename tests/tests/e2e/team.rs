//! Teams: members find each other and what any of them has; nobody else does.

use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};

use shoal_protocol::id::{ChunkId, SnapshotId};
use shoal_tests::data;
use shoal_tests::shoal::{Home, Running};

/// A node that is up on loopback, on ports of its own: nodes of one machine are not found by
/// mDNS.
pub(crate) struct Node {
    pub(crate) home: Home,
    pub(crate) port: u16,
    pub(crate) daemon: Running,
}

/// A port that is free together with the next one, where the control plane goes. Outside of
/// where the system takes ports from for others.
fn free_ports() -> u16 {
    use std::net::{TcpListener, UdpSocket};
    static TRIED: AtomicU16 = AtomicU16::new(0);
    loop {
        let start = 10_000 + (std::process::id() % 2000) as u16 * 10;
        let port = start + TRIED.fetch_add(2, Ordering::Relaxed) % 2000;
        let is_free = |port: u16| {
            let at = ("127.0.0.1", port);
            TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok()
        };
        if is_free(port) && is_free(port + 1) {
            return port;
        }
    }
}

impl Node {
    fn up(home: Home, port: u16) -> Self {
        Self::up_with(home, port, "mdns=false")
    }

    fn up_with(home: Home, port: u16, setting: &str) -> Self {
        let listen = format!("listen=127.0.0.1:{port}");
        let settings = ["up", "-c", &listen, "-c", "mdns=false", "-c", setting];
        let mut daemon = home.start(&settings);
        let listens = daemon.stderr_line(|line| line.contains("listens on"));
        assert!(listens.is_some(), "the daemon did not start");
        Self { home, port, daemon }
    }

    pub(crate) fn new() -> Self {
        Self::up(Home::new(), free_ports())
    }

    pub(crate) fn founder(name: &str) -> Self {
        let node = Self::new();
        node.ok(&["team", "create", "lab", "--my-name", name]);
        node
    }

    /// Alice and Bob, who have met.
    fn pair() -> (Self, Self) {
        let (alice, bob) = (Self::founder("alice"), Self::new());
        bob.join(&alice.invite(), "bob");
        bob.meets(1);
        (alice, bob)
    }

    pub(crate) fn ok(&self, args: &[&str]) -> String {
        self.home.run(args).ok().stdout
    }

    pub(crate) fn code(&self, args: &[&str]) -> i32 {
        self.home.run(args).code()
    }

    pub(crate) fn invite(&self) -> String {
        self.ok(&["team", "invite"]).trim().to_owned()
    }

    pub(crate) fn join(&self, invitation: &str, name: &str) {
        self.ok(&["team", "join", invitation, "--my-name", name]);
    }

    fn members(&self) -> Vec<String> {
        let said = self.ok(&["--json", "team", "members"]);
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        let members = said["members"].as_array().unwrap().iter();
        members
            .map(|member| member["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// What the node is to its team.
    fn role(&self) -> String {
        let said = self.ok(&["--json", "team", "members"]);
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        said["role"].as_str().unwrap().to_owned()
    }

    /// Waits until the node knows so many members: what is new spreads in its own time.
    fn knows(&self, count: usize) {
        while self.members().len() != count {}
    }

    /// Waits until so many members are connected.
    pub(crate) fn meets(&self, count: usize) {
        let connected = || {
            let peers = self.ok(&["--json", "peers"]);
            let peers = peers
                .lines()
                .map(|line| serde_json::from_str(line).unwrap());
            peers
                .filter(|peer: &serde_json::Value| peer["way"].is_string())
                .count()
        };
        while connected() < count {}
    }

    pub(crate) fn add(&self, name: &str, bytes: usize) -> String {
        let file = self.home.outside().join(name);
        std::fs::write(&file, data::bytes(name, bytes)).unwrap();
        self.ok(&["add", &file.to_string_lossy()]).trim().to_owned()
    }

    pub(crate) fn assert_gets(&self, id: &str, name: &str, bytes: usize) {
        let to = self.home.outside().join("got");
        let to = to.to_string_lossy();
        self.ok(&["get", id, &to, "--timeout", "30s"]);
        assert_eq!(
            std::fs::read(Path::new(to.as_ref())).unwrap(),
            data::bytes(name, bytes)
        );
        std::fs::remove_file(to.as_ref()).unwrap();
    }
}

#[test]
fn what_one_member_adds_is_got_by_its_id_from_any_other() {
    let alice = Node::founder("alice");
    let (bob, carol) = (Node::new(), Node::new());
    bob.join(&alice.invite(), "bob");
    carol.join(&alice.invite(), "carol");
    for node in [&alice, &bob, &carol] {
        node.knows(3);
        node.meets(1);
    }
    let id = bob.add("weights", 3_000_000);
    carol.assert_gets(&id, "weights", 3_000_000);
    // The one who added it is gone; another who got it has it still.
    bob.daemon.kill();
    let is_found = || alice.home.run(&["whereis", &id]).stdout.contains("carol");
    // It announces it in its own time.
    while !is_found() {}
    // The dead one is named, and nobody waits for it.
    let said = alice.ok(&["--json", "whereis", &id]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let holders = said["holders"].as_array().unwrap();
    let of = |name: &str| {
        holders
            .iter()
            .find(|holder| holder["name"] == name)
            .unwrap()
    };
    assert!(of("bob")["trouble"].is_string() && of("bob")["bytes"].is_null());
    assert!(of("carol")["trouble"].is_null() && of("carol")["bytes"].is_u64());
}

#[test]
fn strangers_learn_nothing_and_the_revoked_no_more() {
    let alice = Node::founder("alice");
    let (bob, eve) = (Node::new(), Node::new());
    bob.join(&alice.invite(), "bob");
    let id = alice.add("weights", 100_000);
    bob.assert_gets(&id, "weights", 100_000);
    assert_eq!(eve.code(&["get", &id, "x", "--timeout", "2s"]), 4);
    assert_eq!(eve.code(&["whereis", &id]), 4);
    alice.ok(&["team", "revoke", "bob"]);
    assert_eq!(alice.members(), ["alice"]);
    let second = alice.add("more", 100_000);
    // It may not have heard yet that it was revoked, and is let in by nobody all the same.
    let code = bob.code(&["get", &second, "x", "--timeout", "2s"]);
    assert!([5, 7].contains(&code), "{code}");
    while bob.role() != "revoked" {}
    for command in [&["get", &second, "x"], &["whereis", &second]] as [&[&str]; 2] {
        let said = bob.home.run(command);
        assert_eq!(said.code(), 7, "{said:?}");
        assert!(said.stderr.contains("was revoked in team lab"), "{said:?}");
    }
    assert!(bob.ok(&["status"]).contains("lab, revoked"));
    // Another may be called the same.
    let other = Node::new();
    other.join(&alice.invite(), "bob");
    alice.ok(&["team", "revoke", "bob"]);
    assert_eq!(alice.members(), ["alice"]);
}

#[test]
fn a_get_of_who_is_revoked_meanwhile_ends() {
    let (alice, bob) = Node::pair();
    let nobodys = SnapshotId::from_bytes([7; 32]).to_string();
    let (to, mut events) = (bob.home.outside().join("got"), String::new());
    let mut command = bob.home.command(&["get", &nobodys, &to.to_string_lossy()]);
    let mut get = command.stderr(Stdio::piped()).spawn().unwrap();
    // It is under way.
    while !bob
        .ok(&["--json", "status"])
        .contains("\"operation\":\"get\"")
    {}
    alice.ok(&["team", "revoke", "bob"]);
    get.stderr
        .take()
        .unwrap()
        .read_to_string(&mut events)
        .unwrap();
    assert_eq!(get.wait().unwrap().code(), Some(7), "{events}");
}

#[test]
fn who_leaves_tells_those_who_are_connected_and_does_not_come_back() {
    let (alice, bob) = Node::pair();
    let left = bob.home.run(&["team", "leave"]).ok();
    assert!(left.stderr.contains("1 member heard it"), "{}", left.stderr);
    assert_eq!(alice.members(), ["alice"]);
    assert_eq!(bob.role(), "left");
    let back = bob.home.run(&["team", "join", &alice.invite()]);
    assert_eq!(back.code(), 7, "{back:?}");
    assert!(back.stderr.contains("this node left team lab"), "{back:?}");
    bob.ok(&["team", "create", "other", "--my-name", "bob"]);
    assert_eq!(
        (bob.role(), bob.members()),
        ("admin".to_owned(), vec!["bob".to_owned()])
    );
}

#[test]
fn the_only_admin_does_not_leave_others_behind_unasked() {
    let (alice, bob) = Node::pair();
    for leave in [&["team", "leave"], &["team", "revoke", "alice"]] as [&[&str]; 2] {
        assert_eq!(alice.code(leave), 2);
    }
    assert_eq!(alice.role(), "admin");
    alice.ok(&["team", "leave", "--force"]);
    bob.knows(1);
}

#[test]
fn what_is_private_stays_so() {
    let alice = Node::founder("alice");
    let bob = Node::new();
    bob.join(&alice.invite(), "bob");
    let file = alice.home.outside().join("diary");
    std::fs::write(&file, data::bytes("diary", 50_000)).unwrap();
    let id = alice.ok(&["add", "--private", &file.to_string_lossy()]);
    let code = bob.code(&["get", id.trim(), "x", "--timeout", "2s"]);
    assert!([4, 5, 7].contains(&code), "{code}");
}

#[test]
fn an_invitation_lets_one_in_and_no_second() {
    let alice = Node::founder("alice");
    let invitation = alice.invite();
    Node::new().join(&invitation, "bob");
    let late = Node::new();
    assert_eq!(late.code(&["team", "join", &invitation]), 7);
    assert_eq!(late.code(&["team", "join", "shoalinvite1garbage"]), 2);
    assert_eq!(late.code(&["team", "members"]), 4);
    assert_eq!(alice.code(&["team", "create", "other"]), 2);
}

#[test]
fn an_invitation_may_come_from_stdin() {
    let (alice, bob) = (Node::founder("alice"), Node::new());
    let invitation = alice.invite();
    let join = |line: &str| {
        let mut command = bob.home.command(&["team", "join", "-", "--my-name", "bob"]);
        let mut running = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = running.stdin.take().unwrap();
        writeln!(stdin, "{line}").unwrap();
        drop(stdin);
        running.wait().unwrap().code()
    };
    assert_eq!(join(""), Some(2));
    assert_eq!(join(&invitation), Some(0));
    alice.knows(2);
}

#[test]
fn members_find_each_other_again_after_all_were_restarted() {
    let (alice, bob) = Node::pair();
    let id = alice.add("weights", 1_000_000);
    let stop = |node: Node| {
        let Node { home, port, daemon } = node;
        daemon.signal_and_wait();
        (home, port)
    };
    let homes = [stop(alice), stop(bob)];
    let [_alice, bob] = homes.map(|(home, port)| Node::up(home, port));
    bob.assert_gets(&id, "weights", 1_000_000);
}

#[test]
fn bytes_of_a_member_that_no_address_leads_to_come_by_a_stream_and_peers_says_why() {
    let (alice, bob) = Node::pair();
    let id = bob.add("weights", 3_000_000);
    let Node { home, port, daemon } = bob;
    daemon.signal_and_wait();
    // Nobody listens for bytes at its addresses any more.
    let _bob = Node::up_with(home, port, "ways=stream");
    alice.assert_gets(&id, "weights", 3_000_000);
    let peers = alice.ok(&["--json", "peers"]);
    let peer: serde_json::Value = serde_json::from_str(peers.lines().next().unwrap()).unwrap();
    assert_eq!(peer["link"]["way"], "stream", "{peer}");
    let why = peer["link"]["why"].as_str().unwrap();
    assert!(why.starts_with("nothing gets through directly"), "{why}");
}

#[test]
fn what_was_damaged_here_is_repaired_from_whoever_in_the_team_has_it() {
    let (alice, bob) = Node::pair();
    let id = alice.add("weights", 3_000_000);
    let to = bob.home.outside().join("got");
    bob.ok(&["get", &id, &to.to_string_lossy(), "--timeout", "30s"]);
    let file = std::fs::OpenOptions::new().write(true).open(&to).unwrap();
    // The size stays, and the time is set back: only hashing finds it.
    let modified = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(b"something else", 1_000_000).unwrap();
    file.set_modified(modified).unwrap();
    assert_eq!(bob.code(&["verify"]), 6);
    let mended = bob.home.run(&["verify", "--repair"]).ok();
    assert!(mended.stdout.contains("repaired"), "{mended:?}");
    bob.ok(&["verify"]);
    assert_eq!(
        bob.home.command(&["cat", &id]).output().unwrap().stdout,
        data::bytes("weights", 3_000_000)
    );
}

#[test]
fn who_has_a_later_version_in_its_place_misses_nothing_of_the_earlier() {
    let (alice, bob) = Node::pair();
    let to = bob.home.outside().join("got");
    for version in ["first", "second"] {
        let file = alice.home.outside().join("weights");
        std::fs::write(&file, data::bytes(version, 2_000_000)).unwrap();
        let id = alice.ok(&["add", &file.to_string_lossy()]);
        bob.ok(&["get", id.trim(), &to.to_string_lossy(), "--timeout", "30s"]);
    }
    let well = bob.home.run(&["verify"]).ok();
    assert!(
        well.stderr.contains("a later version stands in"),
        "{well:?}"
    );
    let well = bob.home.run(&["verify"]).ok();
    assert!(
        !well.stderr.contains("later version"),
        "it is forgotten: {well:?}"
    );
}

#[test]
fn cat_asks_the_team_for_what_was_changed_or_removed_here() {
    let (alice, bob) = Node::pair();
    let id = alice.add("weights", 300_000);
    let to = bob.home.outside().join("got");
    bob.ok(&["get", &id, &to.to_string_lossy(), "--timeout", "30s"]);
    let changes: [fn(&Path) -> std::io::Result<()>; 2] = [
        |file| std::fs::write(file, "something else"),
        |file| std::fs::remove_file(file),
    ];
    for change in changes {
        change(&to).unwrap();
        let shown = bob.home.command(&["cat", &id]).output().unwrap();
        assert!(shown.status.success(), "{shown:?}");
        assert!(shown.stdout == data::bytes("weights", 300_000));
    }
}

#[test]
fn cat_of_a_file_that_is_here_waits_for_nobody_although_another_is_damaged() {
    let (alice, bob) = Node::pair();
    let folder = alice.home.outside().join("folder");
    std::fs::create_dir(&folder).unwrap();
    for name in ["one", "other"] {
        std::fs::write(folder.join(name), data::bytes(name, 300_000)).unwrap();
    }
    let id = alice.ok(&["add", &folder.to_string_lossy()]);
    let to = bob.home.outside().join("got");
    bob.ok(&["get", id.trim(), &to.to_string_lossy(), "--timeout", "30s"]);
    alice.daemon.kill();
    std::fs::write(to.join("other"), "something else").unwrap();
    assert_eq!(bob.code(&["verify"]), 6);
    let one = format!("{}:one", id.trim());
    let shown = bob.home.command(&["cat", &one]).output().unwrap();
    assert!(shown.status.success(), "{shown:?}");
    assert!(shown.stdout == data::bytes("one", 300_000));
}

#[test]
fn a_chunk_is_found_by_its_id_where_a_member_may_read_it_and_nowhere_else() {
    let (a, b) = Node::pair();
    let add = |name: &str, args: &[&str]| {
        let (file, text) = (a.home.outside().join(name), format!("{name}\n").repeat(500));
        std::fs::write(&file, &text).unwrap();
        a.ok(&[&["add", &*file.to_string_lossy()], args].concat());
        (ChunkId::of(text.as_bytes()), text)
    };
    // The private one is here first: whatever is listed when the other is found has seen it.
    let (private, _) = add("private", &["--private"]);
    let (shared, text) = add("shared", &[]);
    let shared = shared.to_string();
    while b.code(&["cat", &shared]) != 0 {}
    assert_eq!(b.ok(&["cat", &shared]), text);
    let part = b.ok(&["cat", &shared, "--offset", "7", "--length", "6"]);
    assert_eq!(part, "shared");
    let refused = |chunk: ChunkId| {
        let said = b.home.run(&["cat", &chunk.to_string()]);
        assert_eq!(said.code(), 5, "{said:?}");
        said.stderr.replace(&chunk.short(), "it")
    };
    let nobodys = ChunkId::of(b"nobody has this");
    assert_eq!(refused(private), refused(nobodys), "no difference is told");
    assert_eq!(a.code(&["cat", &private.to_string()]), 0, "it is there");
}

#[test]
fn status_says_how_far_advertising_is_and_how_much_the_others_have_room_for() {
    let alice = Node::founder("alice");
    alice.add("weights", 3_000_000);
    let bob = Node::new();
    bob.join(&alice.invite(), "bob");
    let status = || -> serde_json::Value {
        let said = alice.ok(&["--json", "status"]);
        serde_json::from_str(&said).unwrap()
    };
    let is_through = |status: &serde_json::Value| status["advertising"]["sweeps"] == 1;
    let said = std::iter::repeat_with(status).find(is_through).unwrap();
    let (at, control) = (&said["advertising"], &said["control"]);
    let keys = at["keys"].as_u64().unwrap();
    assert!(keys > 10, "{at}");
    // Bob keeps two million records, a quarter of them of one provider.
    assert_eq!(at["keys_room"], 500_000, "{at}");
    assert_eq!(at["keys_listed"], keys, "{at}");
    assert_eq!(
        (at["keys_refused"].as_u64(), at["done_permille"].as_u64()),
        (Some(0), Some(1000))
    );
    assert!(at["keys_sent"].as_u64().unwrap() >= keys, "{at}");
    assert!(at["next_in_s"].as_u64().unwrap() > 3000, "{at}");
    // A key is 16 bytes.
    assert!(
        control["bytes_out"].as_u64().unwrap() > 16 * keys,
        "{control}"
    );
    assert!(control["requests_out"].as_u64().unwrap() > 0, "{control}");
    let text = alice.ok(&["status"]);
    assert!(
        text.contains("advertises") && text.contains("again in"),
        "{text}"
    );
    let alone = Node::new();
    let said = alone.ok(&["--json", "status"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(said["advertising"].is_null() && said["control"].is_null());
}

/// Bob adds a folder in place and then edits one of its two files, which alice has in an
/// artifact of her own. Gives back the id of bob's snapshot.
fn half_lost(alice: &Node, bob: &Node) -> String {
    let write = |node: &Node, name: &str, label: &str| {
        let file = node.home.outside().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, data::bytes(label, 3_000_000)).unwrap();
    };
    write(alice, "hers/weights", "shared weights");
    write(bob, "his/log", "log");
    write(bob, "his/model/weights", "shared weights");
    let folder = |node: &Node, name: &str| {
        let folder = node.home.outside().join(name);
        folder.to_string_lossy().into_owned()
    };
    alice.ok(&["add", &folder(alice, "hers")]);
    let id = bob.ok(&["add", "--in-place", &folder(bob, "his")]);
    write(bob, "his/model/weights", "other weights");
    id.trim().to_owned()
}

#[test]
fn what_nobody_has_any_more_in_an_artifact_comes_from_another_that_holds_the_same() {
    let (alice, bob) = Node::pair();
    let carol = Node::new();
    carol.join(&alice.invite(), "carol");
    carol.meets(1);
    let id = half_lost(&alice, &bob);
    let to = carol.home.outside().join("got");
    let got = carol
        .home
        .run(&["get", &id, &to.to_string_lossy(), "--timeout", "60s"]);
    let got = got.ok();
    let read = |name: &str| std::fs::read(to.join(name)).unwrap();
    assert_eq!(read("log"), data::bytes("log", 3_000_000));
    assert_eq!(
        read("model/weights"),
        data::bytes("shared weights", 3_000_000)
    );
    assert!(got.stderr.contains("other artifacts"), "{}", got.stderr);
}

/// Else whoever makes a list of the team's chunks by their ids, and a ticket for it, would be
/// sent their bytes by whoever uses that ticket.
#[test]
fn what_is_got_by_a_ticket_is_never_completed_from_what_the_team_may_read() {
    let (alice, bob) = Node::pair();
    let carol = Node::new();
    carol.join(&alice.invite(), "carol");
    carol.meets(1);
    let id = half_lost(&alice, &bob);
    let ticket = bob.ok(&["share", &id]);
    let to = carol.home.outside().join("got");
    let to = to.to_string_lossy();
    let code = carol.code(&["get", ticket.trim(), &to, "--timeout", "3s"]);
    assert_eq!(code, 5);
    assert!(!Path::new(&*to).join("model/weights").exists());
}
