//! A message of every kind, the same on every run.

use super::*;

pub(super) fn snapshot() -> Snapshot {
    Snapshot {
        profile: ProfileId(1),
        shape: Shape::Folder,
        manifest: Some(PageId::of(b"manifest")),
        entries: 3,
        bytes: 5 << 20,
    }
}

pub(super) fn presentation() -> Presentation {
    let grant = Grant {
        issuer: PeerKey::of(&keypair(1)),
        holder: PeerKey::of(&keypair(2)),
        scope: Scope::Snapshot(snapshot().id()),
        rights: Rights::READ,
        issued_unix_s: 1_800_000_000,
        expires_unix_s: Some(1_800_086_400),
        nonce: [7; 16],
    };
    let binding = Binding {
        client: PeerKey::of(&keypair(3)),
        server: PeerKey::of(&keypair(1)),
        nonce: Nonce([9; 32]),
    };
    Presentation::new(SignedGrant::sign(grant, &keypair(1)), &keypair(2), &binding)
}

/// A member's proof: the root named an admin, who admitted it.
pub(super) fn membership() -> MembershipProof {
    let mut team = Team::new(PeerKey::of(&keypair(1)));
    for (author, node) in [(1, 2), (2, 3)] {
        let (node, name) = (
            PeerKey::of(&keypair(node)),
            Text::cut(&format!("node-{node}")),
        );
        let action = match author {
            1 => Action::NameAdmin { node, name },
            _ => Action::AdmitMember {
                node,
                name,
                expires_unix_s: None,
            },
        };
        team.merge([team.sign(&keypair(author), 1_800_000_000, action)]);
    }
    team.proof_of(&PeerKey::of(&keypair(3))).expect("admitted")
}

/// The messages of teams.
fn team_samples() -> Vec<(Message, usize)> {
    let binding = Binding {
        client: PeerKey::of(&keypair(3)),
        server: PeerKey::of(&keypair(1)),
        nonce: Nonce([9; 32]),
    };
    let root = PeerKey::of(&keypair(1));
    let server_tag = Tag::of_server(&root, &binding);
    let enter = |proof| Enter {
        tag: Tag::of_client(&root, &binding),
        proof,
    };
    let entered = Entered {
        tag: server_tag,
        proof: membership(),
    };
    let not_entered = |reason| NotEntered { reason };
    let secret = TeamSecret {
        epoch: 7,
        secret: EpochSecret::from_bytes([5; 32]),
    };
    let redeem = Redeem {
        redemption: Redemption::new(&TeamId::of(root.as_bytes()), &keypair(6), &binding),
        name: Text::cut("gpu-17"),
    };
    let welcome = Welcome {
        proof: membership(),
    };
    let not_welcome = NotWelcome {
        reason: NotWelcomeReason::UsedUp,
    };
    let unproven = NotEnteredReason::Unproven { tag: server_tag };
    vec![
        (enter(None).into(), 0),
        (enter(Some(membership())).into(), 0),
        (entered.into(), 64),
        (not_entered(NotEnteredReason::NotPermitted).into(), 0),
        (not_entered(unproven).into(), 0),
        (
            not_entered(NotEnteredReason::Full { retry_ms: 1500 }).into(),
            0,
        ),
        (TeamHeads {}.into(), 96),
        (TeamOperations { last: true }.into(), 8),
        (secret.into(), 0),
        (redeem.into(), 0),
        (welcome.into(), 0),
        (not_welcome.into(), 0),
    ]
}

/// At least one message of every kind, with the length of its payload.
pub(super) fn samples() -> Vec<(Message, usize)> {
    let mut samples = first_samples();
    samples.extend(team_samples());
    samples
}

fn first_samples() -> Vec<(Message, usize)> {
    let snapshot_id = snapshot().id();
    let grant = presentation().grant.id();
    let raw_page = PageHead {
        page: PageId::of(b"raw"),
        codec: PageCodec::Raw,
        plain_length: 300,
        length: 300,
    };
    let packed_page = PageHead {
        page: PageId::of(b"packed"),
        codec: PageCodec::ZstdWithBase(PageId::of(b"raw")),
        plain_length: 300,
        length: 20,
    };
    let based = Codec::ZstdWithBase {
        snapshot: SnapshotId::of(b"base"),
        start: 4096,
        end: 8192,
    };
    let data = |codec| RunData {
        request: REQUEST,
        position: 1 << 40,
        codec,
        plain_length: 1000,
    };
    let listen = ["192.168.1.7:4747", "[2001:db8::1]:4747", "lab.example:4747"]
        .map(|text| text.parse().expect("an address"));
    let hello = Hello::new(
        Features::HAVE_UPDATES.and(Features::ZSTD),
        Nonce([9; 32]),
        "shoal 0.1.0",
        list(listen.into()),
    );
    let range_bytes = RangeSet::of(0..1).to_bytes().expect("one").len();
    let presented = Present {
        presentation: presentation(),
    };
    let admitted = Admitted {
        grant,
        snapshot: snapshot(),
        offers_all: true,
    };
    let refused = |reason| Refused { grant, reason };
    let bye = Bye {
        reason: ByeReason::Protocol,
        detail: Text::cut("unknown message kind 0x99"),
    };
    let page_request = PageRequest {
        request: REQUEST,
        snapshot: snapshot_id,
        pages: list(vec![PageId::of(b"raw"), PageId::of(b"packed")]),
    };
    let pages = Pages {
        request: REQUEST,
        last: true,
        pages: list(vec![raw_page, packed_page]),
    };
    let nothing = Pages {
        request: REQUEST,
        last: true,
        pages: list(vec![]),
    };
    let run_request = RunRequest {
        request: REQUEST,
        snapshot: snapshot_id,
        ranges: [0..65536, 1 << 20..2 << 20].into_iter().collect(),
        codecs: Codecs::ZSTD.and(Codecs::ZSTD_WITH_BASE),
        priority: 1,
        bases: list(vec![Base {
            position: 0,
            snapshot: SnapshotId::of(b"base"),
            start: 4096,
            end: 8192,
        }]),
    };
    let (request, token, snapshot, generation) = (REQUEST, 5, snapshot_id, 6);
    vec![
        (hello.into(), 0),
        (presented.into(), 0),
        (admitted.into(), 0),
        (refused(RefusedReason::NotPermitted).into(), 0),
        (refused(RefusedReason::Full { retry_ms: 1500 }).into(), 0),
        (refused(RefusedReason::NotNow).into(), 0),
        (bye.into(), 0),
        (Ping { token }.into(), 0),
        (Pong { token }.into(), 0),
        (page_request.into(), 0),
        (pages.into(), 320),
        (nothing.into(), 0),
        (run_request.into(), 0),
        (data(Codec::Raw).into(), 1000),
        (data(Codec::Zstd).into(), 10),
        (data(based).into(), 10),
        (
            RunEnd {
                request,
                outcome: Outcome::NotHeld,
            }
            .into(),
            0,
        ),
        (
            Busy {
                request,
                retry_ms: 250,
            }
            .into(),
            0,
        ),
        (Cancel { request }.into(), 0),
        (
            HaveRequest {
                snapshot,
                subscribe: true,
            }
            .into(),
            0,
        ),
        (
            Have {
                snapshot,
                generation,
            }
            .into(),
            range_bytes,
        ),
        (
            HaveUpdate {
                snapshot,
                generation,
            }
            .into(),
            range_bytes,
        ),
        (
            Neighbours {
                snapshot,
                peers: list(vec![Neighbour {
                    peer: PeerKey::of(&keypair(4)),
                    addresses: list(vec!["192.168.1.8:4747".parse().unwrap()]),
                }]),
            }
            .into(),
            0,
        ),
    ]
}
