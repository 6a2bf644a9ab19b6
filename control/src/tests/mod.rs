//! Whole control planes on loopback, with real sockets.
//!
//! A test waits for what has to come about, and fails when it does not for a minute.

mod admission;
mod finding;
mod relaying;
mod talking;

use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p_identity::ed25519::Keypair;
use tokio::sync::broadcast;

use super::*;

/// When a test has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// The team of most tests.
const NETWORK: [u8; 32] = [7; 32];
/// What the tests' nodes take for a proof of membership.
const PROOF: &[u8] = b"the proof";

/// Who is a member, as one node sees it.
#[derive(Clone, Default)]
struct Team(Arc<Mutex<Members>>);

#[derive(Default)]
struct Members {
    everybody: bool,
    named: HashSet<PeerId>,
}

impl Team {
    fn of(peers: impl IntoIterator<Item = PeerId>) -> Self {
        let team = Self::default();
        peers.into_iter().for_each(|peer| team.add(peer));
        team
    }

    fn everybody() -> Self {
        let team = Self::default();
        team.0.lock().unwrap().everybody = true;
        team
    }

    fn add(&self, peer: PeerId) {
        self.0.lock().unwrap().named.insert(peer);
    }

    fn remove(&self, peer: PeerId) {
        self.0.lock().unwrap().named.remove(&peer);
    }
}

impl Membership for Team {
    fn is_member(&self, peer: &PeerId) -> bool {
        let members = self.0.lock().unwrap();
        members.everybody || members.named.contains(peer)
    }
}

/// Answers requests with what was asked, and admits whoever has the proof.
struct Echo(Team);

impl Requests for Echo {
    fn handle(
        &self,
        peer: PeerId,
        protocol: Protocol,
        request: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Refusal>> {
        let team = self.0.clone();
        async move {
            match protocol {
                Protocol::Admit if request != PROOF => Err(Refusal::Refused),
                Protocol::Admit => {
                    team.add(peer);
                    Ok(Bytes::from_static(b"welcome"))
                }
                _ => Ok(request),
            }
        }
        .boxed()
    }
}

/// A node that is to be.
struct Draft {
    keypair: Keypair,
    config: ControlConfig,
}

impl Draft {
    fn new() -> Self {
        let mut config = ControlConfig::new(NETWORK);
        config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        Self {
            keypair: Keypair::generate(),
            config,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut ControlConfig)) -> Self {
        change(&mut self.config);
        self
    }

    fn peer(&self) -> PeerId {
        libp2p_identity::PublicKey::from(self.keypair.public()).to_peer_id()
    }

    fn try_start(&self, team: &Team) -> Result<ControlHandle, StartError> {
        ControlPlane::start(
            &self.keypair,
            self.config.clone(),
            Arc::new(team.clone()),
            Arc::new(Echo(team.clone())),
        )
    }

    fn start(&self, team: &Team) -> ControlHandle {
        self.try_start(team).unwrap()
    }
}

/// The first address that a node listens on, with its name.
async fn address(node: &ControlHandle) -> Multiaddr {
    let first = until("it listens", || async {
        node.listen_addresses().await.into_iter().next()
    });
    first.await.with_p2p(node.local_peer()).unwrap()
}

/// Waits until `found` finds something.
async fn until<T, F>(what: &str, mut found: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let search = async {
        loop {
            if let Some(found) = found().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, search).await {
        Ok(found) => found,
        Err(_) => panic!("in vain: {what}"),
    }
}

/// Waits for an event.
async fn event(
    events: &mut broadcast::Receiver<ControlEvent>,
    wanted: impl Fn(&ControlEvent) -> bool,
) -> ControlEvent {
    let search = async {
        loop {
            let event = events.recv().await.unwrap();
            if wanted(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(PATIENCE, search).await.unwrap()
}

/// Waits until `node` has a connection with `peer`.
async fn connected(node: &ControlHandle, peer: PeerId) -> ControlPeer {
    until("they are connected", || async {
        node.peers().await.into_iter().find(|row| row.peer == peer)
    })
    .await
}

/// A team of `count` nodes that know of the first one's address, and nothing else.
async fn team(count: usize) -> (Team, Vec<ControlHandle>) {
    let mut drafts: Vec<_> = (0..count).map(|_| Draft::new()).collect();
    let team = Team::of(drafts.iter().map(Draft::peer));
    let first = drafts[0].start(&team);
    let bootstrap = address(&first).await;
    let mut nodes = vec![first];
    for draft in &mut drafts[1..] {
        draft.config.bootstrap = vec![bootstrap.clone()];
        nodes.push(draft.start(&team));
    }
    (team, nodes)
}
