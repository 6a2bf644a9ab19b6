//! Gets a file from one node to another inside one process and prints time and rate: the
//! whole path with disk, hashing and TLS, for profilers.
//!
//! `cargo run --release -p shoal-node --example get_loopback -- FILE DEST`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use shoal_node::data::{
    Access, Admission, Allowed, Endpoint, Listener, ListenerConfig, Swarm, SwarmOptions, Traffic,
};
use shoal_node::identity::Identity;
use shoal_protocol::access::{Address, Grant, HolderSecret, Rights, Scope, SignedGrant, Ticket};
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::Snapshot;
use shoal_store::disk::real::RealDisk;
use shoal_store::index::{AbsolutePath, AudienceId, Coverage, Origin, SnapshotRow};
use shoal_store::ingest::{AddMode, AddRequest};
use shoal_store::progress::Silent;
use shoal_store::receive::ReceiveRequest;
use shoal_store::{Store, StoreOptions};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Honours every grant, for one snapshot.
struct Everyone(Snapshot);

impl Admission for Everyone {
    fn admit(&self, _grant: &SignedGrant, _client: PeerKey) -> Option<Allowed> {
        Some(Allowed {
            snapshot: self.0,
            revoked: Default::default(),
            traffic: Traffic::new(),
        })
    }
}

fn open(home: &Path) -> Result<(Store, Endpoint, Identity), Failure> {
    std::fs::create_dir_all(home)?;
    let store = Store::open(RealDisk::shared(), home, StoreOptions::default())?;
    let identity = Identity::generate();
    let endpoint = Endpoint::new(identity.clone(), store.clone(), "example")?;
    Ok((store, endpoint, identity))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(file), Some(dest)) = (args.next(), args.next()) else {
        return Err("FILE and DEST, both absolute".into());
    };
    let homes = dest.with_extension("homes");
    let (store, endpoint, identity) = open(&homes.join("a"))?;
    let request = AddRequest {
        path: file,
        all: true,
        mode: AddMode::InPlace,
        kept: false,
        audience: None,
    };
    let began = Instant::now();
    let added = store.add(&request, &Silent)?;
    println!("added in {:.3} s", began.elapsed().as_secs_f64());
    let row = store.view().snapshot(&added.snapshot)?;
    let snapshot = row.ok_or("no row")?.snapshot;
    let config = ListenerConfig {
        addresses: vec!["127.0.0.1:0".parse()?],
        ..ListenerConfig::default()
    };
    let listener = Listener::start(endpoint, Arc::new(Everyone(snapshot)), config).await?;

    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let secret = HolderSecret::from_bytes(rand::random());
    let grant = Grant {
        issuer: identity.peer_key(),
        holder: PeerKey::of(&secret.keypair()),
        scope: Scope::Snapshot(snapshot.id()),
        rights: Rights::READ,
        issued_unix_s: now,
        expires_unix_s: None,
        nonce: rand::random(),
    };
    let at = listener.addresses()[0];
    let ticket = Ticket::new(
        SignedGrant::sign(grant, identity.keypair()),
        Some(secret),
        None,
    )
    .with_source(
        identity.peer_key(),
        vec![Address::of_ip(at.ip(), at.port())?],
    );

    let (store, endpoint, identity) = open(&homes.join("b"))?;
    let began = Instant::now();
    let access = Access::of_ticket(&ticket, &identity, now)?;
    let swarm = Swarm::start(&endpoint, access, SwarmOptions::default(), |_| {});
    let snapshot = swarm.snapshot().await?;
    let batch = store.begin();
    batch.put_snapshot(SnapshotRow {
        snapshot,
        kept: false,
        audience: AudienceId(1),
        origin: Origin::Received {
            dest: AbsolutePath::new(&dest).ok_or("DEST is not absolute")?,
        },
        at_unix_s: now,
        held: Coverage::Ranges(Vec::new()),
        offered: Coverage::Ranges(Vec::new()),
    });
    batch.commit(false)?;
    let receive = Arc::new(store.receive(ReceiveRequest {
        snapshot: snapshot.id(),
        dest: dest.clone(),
        audience: AudienceId(1),
        force: false,
        inside: None,
    })?);
    let outcome = swarm.fetch(Arc::clone(&receive)).await?;
    let fetched = began.elapsed();
    receive.finish(false)?;
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "got {} bytes in {seconds:.3} s (fetched in {:.3} s): {:.2} GB/s, {} on the wire",
        snapshot.bytes,
        fetched.as_secs_f64(),
        snapshot.bytes as f64 / seconds / 1e9,
        outcome.wire_in
    );
    Ok(())
}
