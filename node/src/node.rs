//! One node: a home, a store, an identity, and what runs on them.
//!
//! Owns: opening and closing in the right order, and the frame in which every operation
//! runs: it is listed, it can be cancelled, and closing waits for it. Refuses: the operations
//! themselves, which have a file each in `operations`.

use std::fs::DirBuilder;
use std::future::Future;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use libp2p_identity::ed25519;
use shoal_protocol::id::SnapshotId;
use shoal_protocol::peer::PeerKey;
use shoal_store::disk::real::RealDisk;
use shoal_store::{OpenError, Store, StoreOptions};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::activities::Activities;
use crate::api::{ApiError, ErrorKind, Events, Hello, Reporter, own_uid};
use crate::config::Config;
use crate::copied;
use crate::finding::Finding;
use crate::identity::{IDENTITY_FILE, Identity};
use crate::operations::get::Gets;
use crate::plane::Plane;
use crate::shares::Shares;
use crate::team::TeamBook;

/// How long operations may take to leave things in order when the node closes.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(30);

/// The index in a home, which a store has from its first opening on.
const INDEX_FILE: &str = "index.redb";

/// What can be chosen about a node.
#[derive(Debug, Clone, Default)]
pub struct NodeOptions {
    /// Its configuration.
    pub config: Config,
    /// Whether it runs until it is told to stop, and so serves on what it was asked to share
    /// after whoever asked has gone.
    pub daemon: bool,
}

/// A node. Clones are the same node.
///
/// It works in-process, without a socket; [`Client`](crate::api::Client) is for talking to
/// the one that another program may be running.
///
/// ```no_run
/// # async fn example() -> Result<(), shoal_node::api::ApiError> {
/// use shoal_node::api::{AddRequest, LsRequest, What};
/// use shoal_node::{Node, NodeOptions};
///
/// let node = Node::open("/data/shoal".as_ref(), NodeOptions::default()).await?;
/// let add = AddRequest {
///     path: "/data/imagenet".into(),
///     cwd: "/".into(),
///     name: Some("lab/imagenet".to_owned()),
///     message: None,
///     in_place: true,
///     private: false,
///     all: false,
/// };
/// let (_, added) = node.add(add).finish().await?;
/// println!("{} holds {} bytes", added.snapshot, added.bytes);
/// node.shut_down().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    home: PathBuf,
    options: NodeOptions,
    identity: Identity,
    notice: Option<String>,
    store: RwLock<Option<Store>>,
    started: Instant,
    stop: CancellationToken,
    tasks: TaskTracker,
    activities: Activities,
    shares: Arc<Shares>,
    gets: Gets,
    team: TeamBook,
    finding: tokio::sync::Mutex<Option<Arc<Finding>>>,
    copying: tokio::sync::Mutex<()>,
    plane: Plane,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Opens the node of the home at `home`, which is made if it is not there. `Busy` if
    /// another process holds its store.
    ///
    /// The future is boxed here so that the code of a node is generated in this crate and not
    /// again in every program that opens one.
    pub fn open(home: &Path, options: NodeOptions) -> BoxFuture<'_, Result<Self, ApiError>> {
        Box::pin(Self::open_home(home, options))
    }

    async fn open_home(home: &Path, options: NodeOptions) -> Result<Self, ApiError> {
        let home = std::path::absolute(home).map_err(|error| ApiError::io(home, &error))?;
        let store_options = StoreOptions {
            index_cache_bytes: usize::try_from(options.config.index_cache.bytes())
                .unwrap_or(usize::MAX),
            pack_bytes_max: options.config.pack_size.bytes(),
            holder: holder(options.daemon),
            ..StoreOptions::default()
        };
        let daemon = options.daemon;
        let (home, store, notice, identity, shares, team) = blocking(move || {
            make_home(&home)?;
            let had = |name: &str| home.join(name).exists();
            let lost_identity = had(INDEX_FILE) && !had(IDENTITY_FILE);
            let (store, mut notice) = open_or_rebuild(&home, store_options)?;
            let identity = Identity::load_or_create(&home)?;
            if lost_identity {
                notice.get_or_insert_with(|| {
                    "this home had lost its identity: the node is a new one, and tickets that \
                     the old one made lead to nobody"
                        .to_owned()
                });
            } else if let Some(copied) =
                copied::notice(&home).map_err(|e| ApiError::io(&home, &e))?
            {
                notice.get_or_insert(copied);
            }
            let shares = Shares::load(&store, identity.peer_key(), daemon)?;
            let team = TeamBook::load(&home, &identity)?;
            Ok::<_, ApiError>((home, store, notice, identity, shares, team))
        })
        .await?;
        let shares = Arc::new(shares);
        let plane = Plane::new(&home, &identity, &store, &shares, &team, &options.config)?;
        let node = Self(Arc::new(Inner {
            home,
            identity,
            notice,
            store: RwLock::new(Some(store)),
            started: Instant::now(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            activities: Activities::default(),
            shares,
            gets: Gets::default(),
            team,
            finding: tokio::sync::Mutex::default(),
            copying: tokio::sync::Mutex::default(),
            plane,
            options,
        }));
        node.end_memberships_in_time();
        if node.is_daemon() {
            node.plane().listen(true).await?;
            node.recheck_later();
            node.find_while_in_a_team();
        }
        Ok(node)
    }

    /// Its home, absolute.
    pub fn home(&self) -> &Path {
        &self.0.home
    }

    /// Who it is.
    pub fn peer(&self) -> PeerKey {
        self.0.identity.peer_key()
    }

    /// How it introduces itself to clients.
    pub fn hello(&self) -> Hello {
        Hello {
            peer: self.peer(),
            pid: std::process::id(),
            daemon: self.is_daemon(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            notice: self.0.notice.clone(),
        }
    }

    /// Cancelled when the node is to stop: cancel it, and whoever runs the node closes it.
    pub fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// Ends all operations as interrupted, and closes the store so that it opens fast and
    /// unsuspected. Everything that was acknowledged is kept in any case.
    pub fn shut_down(&self) -> BoxFuture<'_, Result<(), ApiError>> {
        Box::pin(self.close())
    }

    async fn close(&self) -> Result<(), ApiError> {
        self.finish_operations().await;
        if let Some(finding) = self.0.finding.lock().await.take() {
            finding.close().await;
        }
        self.plane().close().await;
        let store = self
            .0
            .store
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(store) = store else { return Ok(()) };
        blocking(move || store.close()).await
    }

    /// Ends all operations as interrupted and waits until they have left things in order.
    pub(crate) async fn finish_operations(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(CLOSE_TIME_MAX, self.0.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("some operations do not end; closing without them");
        }
    }

    pub(crate) fn is_daemon(&self) -> bool {
        self.0.options.daemon
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.options.config
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.0.identity
    }

    pub(crate) fn started(&self) -> Instant {
        self.0.started
    }

    pub(crate) fn activities(&self) -> &Activities {
        &self.0.activities
    }

    pub(crate) fn shares(&self) -> &Arc<Shares> {
        &self.0.shares
    }

    pub(crate) fn gets(&self) -> &Gets {
        &self.0.gets
    }

    pub(crate) fn team(&self) -> &TeamBook {
        &self.0.team
    }

    /// The control plane, started if need be; an error if the node is in no team.
    pub(crate) async fn finding(&self) -> Result<Arc<Finding>, ApiError> {
        let mut finding = self.0.finding.lock().await;
        if self.stop().is_cancelled() {
            return Err(ApiError::interrupted());
        }
        self.team().check_in()?;
        if finding.is_none() {
            *finding = Some(Arc::new(Finding::start(self).await?));
        }
        Ok(Arc::clone(finding.as_ref().expect("started")))
    }

    /// Ends this node's own membership, by the root's word if its key is given. Gives how many
    /// of the others heard of it.
    pub(crate) async fn leave_team(
        &self,
        root: Option<ed25519::Keypair>,
    ) -> Result<usize, ApiError> {
        self.team().check_in()?;
        // Who cannot tell anybody may leave all the same.
        if self.team().has_others()
            && let Ok(finding) = self.finding().await
        {
            finding.meet_somebody().await;
        }
        // Locked until it was said: the control plane of a node that is in no team is closed.
        let mut finding = self.0.finding.lock().await;
        let (book, me) = (self.team().clone(), self.peer());
        blocking(move || book.revoke(me, root.as_ref())).await?;
        match finding.take() {
            Some(finding) => Ok(finding.part().await),
            None => Ok(0),
        }
    }

    /// The control plane, if it runs.
    pub(crate) async fn found(&self) -> Option<Arc<Finding>> {
        self.0.finding.lock().await.clone()
    }

    /// Has a snapshot that is new here announced to the team, where that is somebody's
    /// business.
    pub(crate) async fn announce(&self, snapshot: SnapshotId) {
        if let Some(finding) = self.found().await {
            finding.added(snapshot);
        }
    }

    /// Runs the control plane for as long as the node is in a team.
    fn find_while_in_a_team(&self) {
        let node = self.clone();
        self.tasks().spawn(async move {
            let mut changes = node.team().changes();
            loop {
                if node.team().is_in() {
                    if let Err(error) = node.finding().await {
                        tracing::warn!(%error, "other members cannot be found");
                    }
                } else if let Some(finding) = node.0.finding.lock().await.take() {
                    finding.close().await;
                }
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() { return },
                    () = node.stop().cancelled() => return,
                }
            }
        });
    }

    /// Has members hung up on whose membership ends while they are connected.
    fn end_memberships_in_time(&self) {
        let (team, stop) = (self.team().clone(), self.stop().clone());
        self.tasks().spawn(async move {
            tokio::select! {
                () = team.end_in_time() => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// Held by the one add that copies into the store.
    pub(crate) fn copying(&self) -> &tokio::sync::Mutex<()> {
        &self.0.copying
    }

    pub(crate) fn plane(&self) -> &Plane {
        &self.0.plane
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// The store; `Interrupted` once the node has closed.
    pub(crate) fn store(&self) -> Result<Store, ApiError> {
        let store = self.0.store.read().unwrap_or_else(PoisonError::into_inner);
        store.clone().ok_or_else(ApiError::interrupted)
    }

    /// Runs `work` as a listed operation of this node. `subject` is shown to people: never a
    /// ticket.
    pub(crate) fn operation<D, I, F, Fut>(
        &self,
        name: &'static str,
        subject: String,
        work: F,
    ) -> Events<D, I>
    where
        F: FnOnce(Self, Reporter<I>) -> Fut,
        Fut: Future<Output = Result<D, ApiError>> + Send + 'static,
        D: Send + 'static,
    {
        Events::of(&self.0.tasks, &self.0.stop, |reporter| {
            let listed = self.0.activities.list(name, subject, reporter.watch());
            let work = work(self.clone(), reporter);
            async move {
                let _listed = listed;
                work.await
            }
        })
    }
}

/// Opens the store. An index that is missing, because somebody moved a damaged one away, is
/// made anew: what the packs and the store's own files hold is known again. Files of the user
/// are not, nor are tickets.
fn open_or_rebuild(
    home: &Path,
    options: StoreOptions,
) -> Result<(Store, Option<String>), ApiError> {
    let disk = RealDisk::shared();
    match Store::open(Arc::clone(&disk), home, options.clone()) {
        Err(OpenError::MissingIndex { .. }) => {
            let (store, rebuilt) = Store::rebuild(disk, home, options)?;
            tracing::warn!(?rebuilt, "the index was missing and was rebuilt");
            let notice = format!(
                "the index was missing and was rebuilt from the packs: {} chunks of {} snapshots; \
                 add again what lies in your own files",
                rebuilt.chunks, rebuilt.snapshots
            );
            Ok((store, Some(notice)))
        }
        other => Ok((other?, None)),
    }
}

/// What another process is told that finds the store in use.
fn holder(daemon: bool) -> String {
    let what = if daemon {
        "the running node"
    } else {
        "another shoal command"
    };
    format!("{what} (process {})", std::process::id())
}

/// The home is its user's alone: it has the secret key and the tickets in it.
fn make_home(home: &Path) -> Result<(), ApiError> {
    let io = |error| ApiError::io(home, &error);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(home)
        .map_err(io)?;
    if std::fs::metadata(home).map_err(io)?.uid() != own_uid() {
        let message = format!("{} belongs to another user", home.display());
        return Err(ApiError::new(ErrorKind::NotPermitted, message)
            .hint("run the command as that user, or set SHOAL_HOME to a directory of your own"));
    }
    Ok(())
}

/// Runs what blocks where it may.
pub(crate) async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Into::into),
        Err(failed) => Err(ApiError::our_fault(&failed)),
    }
}

/// Seconds since the epoch, by this machine's clock.
pub(crate) fn unix_now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
