//! What is done to a node in `abuse`, by a process on a host of its own.
//!
//! Owns: the attacks, each as hard as one process can without waiting for anybody: whoever is
//! hung up on comes back at once. Says `ready` when it is at work. Refuses: measuring.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use shoal_node::data::tls::TlsIdentity;
use shoal_node::data::tls_stream::TlsStream;
use shoal_node::identity::Identity;
use shoal_protocol::access::team::Invitation;
use shoal_protocol::advert::{BATCH_KEYS_MAX, TTL_S_MAX};
use shoal_protocol::peer::PeerKey;
use shoal_tests::liar::{Conduct, Liar};
use shoal_tests::rogue::{Rogue, keys};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// Connections of a crowd.
pub const CROWD: usize = 1000;
/// Batches that a flood has on the way at a time: as many as a node takes of one peer.
const BATCHES: usize = 8;
/// Whoever cannot connect tries again after this.
const PAUSE: Duration = Duration::from_millis(200);

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Attack {
    /// A thousand TCP connections that say nothing.
    Crowd,
    /// A thousand that prove a key each by TLS, and say nothing more.
    Keys,
    /// A member's provider records, without end.
    Records,
    /// A source that says that it has everything, and sends nothing.
    Silence,
}

/// The words for an attack.
#[derive(Debug, Clone, Args)]
pub struct Orders {
    #[arg(long, hide = true, default_value = "crowd")]
    pub attack: Attack,
    /// Whose keys are meant.
    #[arg(long, hide = true)]
    pub invitation: Option<String>,
    /// What is pretended to be served.
    #[arg(long, hide = true)]
    pub pretend: Option<String>,
    /// Who it is that does it.
    #[arg(long, hide = true)]
    pub of: Option<PathBuf>,
}

/// Does it, to the node at `at`, until it is ended.
pub fn run(at: SocketAddr, orders: &Orders) -> io::Result<()> {
    let of = orders.of.as_deref().ok_or_else(|| missing("of"))?;
    if orders.attack == Attack::Silence {
        let ticket = orders
            .pretend
            .as_deref()
            .ok_or_else(|| missing("pretend"))?;
        let liar = Liar::start(of, ticket, Conduct::Silent, at);
        println!("{}", liar.ticket());
        loop {
            std::thread::park();
        }
    }
    let invitation = orders.invitation.as_deref();
    let invitation = invitation.ok_or_else(|| missing("invitation"))?;
    let invitation = Invitation::from_text(invitation).map_err(io::Error::other)?;
    let identity = Identity::load_or_create(of).map_err(io::Error::other)?;
    Runtime::new()?.block_on(async {
        match orders.attack {
            Attack::Records => flood(at, &invitation, &identity).await?,
            attack => crowd(at, invitation.minter, attack == Attack::Keys).await,
        }
        std::future::pending().await
    })
}

fn missing(what: &str) -> io::Error {
    io::Error::other(format!("--{what} is missing"))
}

/// Begins a thousand connections, and goes on for ever with each.
async fn crowd(at: SocketAddr, peer: PeerKey, proves: bool) {
    for _ in 0..CROWD {
        tokio::spawn(async move {
            loop {
                // Hung up on, as it should be.
                if stay(at, peer, proves).await.is_err() {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
    }
    println!("ready");
}

/// Connects, and stays as long as it may.
async fn stay(at: SocketAddr, peer: PeerKey, proves: bool) -> io::Result<()> {
    let mut stream = TcpStream::connect(at).await?;
    if proves {
        let tls = TlsIdentity::new(&Identity::generate()).map_err(io::Error::other)?;
        let config = tls.client(peer).map_err(io::Error::other)?;
        let mut stream = TlsStream::connect(stream, config).await?;
        return stream.read_to_end(&mut Vec::new()).await.map(drop);
    }
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

/// Sends batches of keys that nobody ever had.
async fn flood(at: SocketAddr, invitation: &Invitation, identity: &Identity) -> io::Result<()> {
    let rogue = Rogue::start(at, invitation, identity);
    let rogue = rogue.map_err(|error| io::Error::other(error.to_string()))?;
    let epoch = rogue.epoch().await;
    for _ in 0..BATCHES {
        let rogue = rogue.clone();
        tokio::spawn(async move {
            loop {
                let batch = keys(epoch, TTL_S_MAX, BATCH_KEYS_MAX);
                if rogue.send(&batch).await.is_none() {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
    }
    println!("ready");
    Ok(())
}
