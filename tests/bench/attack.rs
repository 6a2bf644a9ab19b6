//! What is done to a node in `abuse`, by a process on a host of its own.
//!
//! Owns: the attacks, each as hard as one process can without waiting for anybody: whoever is
//! hung up on comes back at once. Says `ready` when it is at work. Refuses: measuring.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use shoal_control::Protocol;
use shoal_node::data::tls::TlsIdentity;
use shoal_node::data::tls_stream::TlsStream;
use shoal_node::identity::Identity;
use shoal_protocol::access::team::Invitation;
use shoal_protocol::access::{Scope, Ticket};
use shoal_protocol::advert::{
    AdvertKey, BATCH_KEYS_MAX, FIND_KEYS_MAX, Find, LOCATE_IDS_MAX, Locate, Sought, TTL_S_MAX,
};
use shoal_protocol::bounded::List;
use shoal_protocol::have::RangeSet;
use shoal_protocol::id::ChunkId;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::{Codecs, Ping, RequestId, RunRequest};
use shoal_tests::guest::{Ended, Guest};
use shoal_tests::liar::{Conduct, Liar};
use shoal_tests::rogue::{Rogue, keys};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::sleep;

/// Connections of a crowd.
pub const CROWD: usize = 1000;
/// Requests that a member has on the way at a time: as many as a node takes of one peer.
const REQUESTS: usize = 8;
/// Whoever cannot connect tries again after this.
const PAUSE: Duration = Duration::from_millis(200);
/// What one asks for who takes nothing, in runs of so many bytes.
const RUNS: u64 = 4;
const RUN_BYTES: u64 = 16 << 20;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Attack {
    /// A thousand TCP connections that say nothing.
    Crowd,
    /// A thousand that prove a key each by TLS, and say nothing more.
    Keys,
    /// A thousand that show a ticket, ask for as much as one may, and take none of it.
    Takers,
    /// A member's provider records, without end.
    Records,
    /// A member's questions who has what, without end.
    Finds,
    /// A member's questions where chunks stand, without end.
    Locates,
    /// A source that says that it has everything, and sends nothing.
    Silence,
    /// A source that sends nothing and tells of what it has without end.
    Telling,
}

impl Attack {
    /// What a source does, if it is one.
    pub fn of_a_source(self) -> Option<Conduct> {
        match self {
            Self::Silence => Some(Conduct::Silent),
            Self::Telling => Some(Conduct::Tells),
            _ => None,
        }
    }
}

/// The words for an attack.
#[derive(Debug, Clone, Args)]
pub struct Orders {
    #[arg(long, hide = true, default_value = "crowd")]
    pub attack: Attack,
    /// Whose keys are meant.
    #[arg(long, hide = true)]
    pub invitation: Option<String>,
    /// What is pretended to be served, or wanted.
    #[arg(long, hide = true)]
    pub pretend: Option<String>,
    /// Who it is that does it.
    #[arg(long, hide = true)]
    pub of: Option<PathBuf>,
}

/// Does it, to the node at `at`, until it is ended.
pub fn run(at: SocketAddr, orders: &Orders) -> io::Result<()> {
    let missing = |what: &str| io::Error::other(format!("--{what} is missing"));
    let of = orders.of.as_deref().ok_or_else(|| missing("of"))?;
    let ticket = orders.pretend.as_deref();
    let ticket = ticket.ok_or_else(|| missing("pretend"))?;
    let invitation = orders.invitation.as_deref();
    let invitation = invitation.ok_or_else(|| missing("invitation"))?;
    if let Some(conduct) = orders.attack.of_a_source() {
        let liar = Liar::start(of, ticket, conduct, at);
        println!("{}", liar.ticket());
        loop {
            std::thread::park();
        }
    }
    let invitation = Invitation::from_text(invitation).map_err(io::Error::other)?;
    let ticket = Arc::new(Ticket::from_text(ticket).map_err(io::Error::other)?);
    let identity = Identity::load_or_create(of).map_err(io::Error::other)?;
    let victim = invitation.minter;
    Runtime::new()?.block_on(async {
        match orders.attack {
            Attack::Crowd => crowd(move || say_nothing(at)),
            Attack::Keys => crowd(move || prove(at, victim)),
            Attack::Takers => crowd(move || take_nothing(at, victim, Arc::clone(&ticket))),
            attack => flood(at, &invitation, &identity, attack).await?,
        }
        println!("ready");
        std::future::pending().await
    })
}

/// Begins a thousand connections, and goes on for ever with each.
fn crowd<A, F>(attack: A)
where
    A: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), Ended>> + Send,
{
    for _ in 0..CROWD {
        let attack = attack.clone();
        tokio::spawn(async move {
            loop {
                // Hung up on, as it should be.
                if attack().await.is_err() {
                    sleep(PAUSE).await;
                }
            }
        });
    }
}

/// Connects, and stays as long as it may.
async fn say_nothing(at: SocketAddr) -> Result<(), Ended> {
    let mut stream = TcpStream::connect(at).await?;
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// The same, with a new key.
async fn prove(at: SocketAddr, victim: PeerKey) -> Result<(), Ended> {
    let tls = TlsIdentity::new(&Identity::generate())?;
    let stream = TcpStream::connect(at).await?;
    let mut stream = TlsStream::connect(stream, tls.client(victim)?).await?;
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// Shows a ticket, with a new key, asks, and reads nothing of the answers.
async fn take_nothing(at: SocketAddr, victim: PeerKey, ticket: Arc<Ticket>) -> Result<(), Ended> {
    let holder = ticket.secret().ok_or("a ticket for somebody")?.keypair();
    let mut guest = Guest::connect(at, victim, &Identity::generate()).await?;
    guest.present(ticket.grant(), &holder).await?;
    let mut link = guest.link;
    let Scope::Snapshot(snapshot) = ticket.grant().grant.scope;
    for run in 0..RUNS {
        let asked = RunRequest {
            request: RequestId(run + 1),
            snapshot,
            ranges: RangeSet::of(run * RUN_BYTES..(run + 1) * RUN_BYTES),
            codecs: Codecs::RAW,
            priority: 0,
            bases: List::empty(),
        };
        link.writer.send(asked, &[]).await?;
    }
    loop {
        link.writer.send(Ping { token: 1 }, &[]).await?;
        link.writer.flush().await?;
        sleep(PAUSE).await;
    }
}

/// Sends requests that fit nothing, as many as are let.
async fn flood(
    at: SocketAddr,
    invitation: &Invitation,
    identity: &Identity,
    attack: Attack,
) -> io::Result<()> {
    let rogue = Rogue::connect(at, invitation, identity).await;
    let rogue = rogue.map_err(io::Error::other)?;
    let silent = || io::Error::other("the node does not answer");
    let epoch = rogue.epoch().await.ok_or_else(silent)?;
    for _ in 0..REQUESTS {
        let rogue = rogue.clone();
        tokio::spawn(async move {
            loop {
                let (protocol, bytes) = request(attack, epoch);
                if rogue.send_bytes(protocol, bytes).await.is_none() {
                    sleep(PAUSE).await;
                }
            }
        });
    }
    Ok(())
}

/// One of them.
fn request(attack: Attack, epoch: u64) -> (Protocol, Vec<u8>) {
    match attack {
        Attack::Finds => {
            let key = |_| AdvertKey::from_bytes(rand::random());
            let keys = List::new((0..FIND_KEYS_MAX).map(key).collect());
            let find = Find {
                keys: keys.expect("as many as fit"),
            };
            (Protocol::Find, find.to_bytes())
        }
        Attack::Locates => {
            let id = |_| Sought::Chunk(ChunkId::from_bytes(rand::random()));
            let sought = List::new((0..LOCATE_IDS_MAX).map(id).collect());
            let locate = Locate {
                sought: sought.expect("as many as fit"),
            };
            (Protocol::Locate, locate.to_bytes())
        }
        _ => {
            let batch = keys(epoch, TTL_S_MAX, BATCH_KEYS_MAX);
            (Protocol::Advert, batch.to_bytes())
        }
    }
}
