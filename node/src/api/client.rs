//! The one way to a node's operations: over the socket of the node that runs, or of the node
//! that this process becomes when none does.
//!
//! Owns: the choice between the two, requests, the streams that replies come in. An embedded
//! node is spoken to over its own socket as well, so there is one path to test, and any
//! other command finds it there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shoal_store::disk::real::RealDisk;
use tokio::time::Instant;

use crate::api::embedded::Embedded;
use crate::api::errors::{ApiError, ErrorKind};
use crate::api::events::Events;
use crate::api::lines::{Lines, RawBytes, not_understood};
use crate::api::socket;
use crate::api::types::*;
use crate::config::Config;
use crate::node::{NodeOptions, blocking};

/// How long to wait for a node that has the store but no socket: it starts, or it stops.
const BUSY_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a node may take to say who it is, however busy it is.
const HELLO_TIME_MAX: Duration = Duration::from_secs(15);
/// How often to look meanwhile.
const BUSY_RETRY: Duration = Duration::from_millis(30);
/// How long a node may take to close after it was asked to.
const STOP_TIME_MAX: Duration = Duration::from_secs(60);
/// The most bytes in a reply that comes at once: 100,000 snapshots fit.
const REPLY_BYTES_MAX: usize = 64 << 20;

/// Whether a command may open the store itself.
#[derive(Debug, Clone)]
pub enum ConnectMode {
    /// Only a node that runs already: `down`, `peers`.
    Running,
    /// The node that runs, else this process becomes one for the length of its command.
    OrEmbed(Box<Config>),
}

/// A connection to a node.
#[derive(Debug)]
pub struct Client {
    home: PathBuf,
    hello: Hello,
    /// Open for as long as this client lives: an embedded node of another process stays
    /// while it is.
    presence: Sender,
    embedded: Option<Embedded>,
}

type Sender = SendRequest<Full<bytes::Bytes>>;

/// The bytes of `cat`. Dropping it stops the reading.
#[derive(Debug)]
pub struct Bytes(RawBytes);

impl Bytes {
    /// The next bytes; nothing at the end. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<bytes::Bytes, ApiError>> {
        self.0.next().await
    }
}

impl Client {
    /// Reaches the node of this home, or becomes it. Waits a while for one that is just
    /// starting or stopping, then `Busy`, naming who holds the store. Without a node and
    /// without leave to become one: `NotFound`.
    pub async fn connect(home: &Path, mode: ConnectMode) -> Result<Self, ApiError> {
        let give_up = Instant::now() + BUSY_TIME_MAX;
        loop {
            if let Some((presence, hello)) = reach(home).await? {
                return Ok(Self {
                    home: home.to_owned(),
                    hello,
                    presence,
                    embedded: None,
                });
            }
            let ConnectMode::OrEmbed(config) = &mode else {
                match holder(home).await? {
                    None => return Err(no_node(home)),
                    Some(holder) if Instant::now() > give_up => {
                        return Err(out_of_reach(home, &holder));
                    }
                    // It starts, or it stops.
                    Some(_) => tokio::time::sleep(BUSY_RETRY).await,
                }
                continue;
            };
            let options = NodeOptions {
                config: (**config).clone(),
                daemon: false,
            };
            match Embedded::open(home, options).await {
                Ok(embedded) => return Self::own(home, embedded).await,
                Err(error) if error.kind != ErrorKind::Busy => return Err(error),
                Err(error) if Instant::now() > give_up => {
                    let holder = holder(home).await?;
                    return Err(holder.map_or(error, |holder| out_of_reach(home, &holder)));
                }
                Err(_) => tokio::time::sleep(BUSY_RETRY).await,
            }
        }
    }

    /// A client of the node that this process has become.
    async fn own(home: &Path, embedded: Embedded) -> Result<Self, ApiError> {
        match reach(home).await {
            Ok(Some((presence, hello))) => Ok(Self {
                home: home.to_owned(),
                hello,
                presence,
                embedded: Some(embedded),
            }),
            unreachable => {
                embedded.close().await?;
                let gone = ApiError::new(ErrorKind::Error, "cannot reach the node's own socket");
                Err(unreachable.err().unwrap_or(gone))
            }
        }
    }

    /// Whether this process is the node.
    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// Who the node is.
    pub fn node(&self) -> &Hello {
        &self.hello
    }

    /// Ends the connection. An embedded node stays until the other commands that use it are
    /// done: `notice` is told how many there are, once, if it has to wait. Then it closes its
    /// store. To close at once, [`close`](Self::close).
    pub async fn finish(self, notice: impl FnOnce(usize)) -> Result<(), ApiError> {
        drop(self.presence);
        let Some(embedded) = self.embedded else {
            return Ok(());
        };
        match embedded.guests() {
            0 => {}
            guests => notice(guests),
        }
        embedded.close_when_empty().await
    }

    /// Ends the connection, and an embedded node at once: what others do with it ends as
    /// interrupted.
    pub async fn close(self) -> Result<(), ApiError> {
        drop(self.presence);
        match self.embedded {
            Some(embedded) => embedded.close().await,
            None => Ok(()),
        }
    }

    /// Keeps a snapshot of a file or folder.
    pub async fn add(&self, request: &AddRequest) -> Result<Events<Added>, ApiError> {
        self.events("add", request).await
    }

    /// Makes a ticket. Its item comes when the ticket is good; after that a daemon ends the
    /// reply, and any other node serves for as long as the reply is read.
    pub async fn share(&self, request: &ShareRequest) -> Result<Events<Served, Shared>, ApiError> {
        self.events("share", request).await
    }

    /// Fetches an artifact to its place. Its item comes when it is whole; with `linger_s` the
    /// reply goes on, serving, for that time (a daemon ends it and serves on by itself).
    pub async fn get(&self, request: &GetRequest) -> Result<Events<Served, Got>, ApiError> {
        self.events("get", request).await
    }

    /// Lists what is in an artifact.
    pub async fn ls(&self, request: &LsRequest) -> Result<Events<Listed, LsEntry>, ApiError> {
        self.events("ls", request).await
    }

    /// Every snapshot the store knows, newest first.
    pub async fn snapshots(&self) -> Result<Vec<SnapshotInfo>, ApiError> {
        self.at_once(Method::GET, "snapshots", &()).await
    }

    /// The bytes of a file in an artifact.
    pub async fn cat(&self, request: &CatRequest) -> Result<Bytes, ApiError> {
        let body = self.call(Method::POST, "cat", request).await?;
        Ok(Bytes(RawBytes::new(body)))
    }

    /// Who has something.
    pub async fn whereis(&self, request: &WhereisRequest) -> Result<Whereis, ApiError> {
        self.at_once(Method::POST, "whereis", request).await
    }

    /// The team of the node, and who is in it.
    pub async fn team(&self) -> Result<TeamInfo, ApiError> {
        self.at_once(Method::GET, "team", &()).await
    }

    /// Founds a team.
    pub async fn team_create(&self, request: &TeamCreateRequest) -> Result<TeamCreated, ApiError> {
        self.at_once(Method::POST, "team/create", request).await
    }

    /// Makes an invitation.
    pub async fn team_invite(&self, request: &InviteRequest) -> Result<Invited, ApiError> {
        self.at_once(Method::POST, "team/invite", request).await
    }

    /// Redeems an invitation.
    pub async fn team_join(&self, request: &JoinRequest) -> Result<TeamInfo, ApiError> {
        self.at_once(Method::POST, "team/join", request).await
    }

    /// Ends a membership.
    pub async fn team_revoke(&self, request: &MemberRequest) -> Result<TeamInfo, ApiError> {
        self.at_once(Method::POST, "team/revoke", request).await
    }

    /// Makes a member an admin.
    pub async fn team_admin(&self, request: &MemberRequest) -> Result<TeamInfo, ApiError> {
        self.at_once(Method::POST, "team/admin", request).await
    }

    /// Sizes.
    pub async fn du(&self, request: &DuRequest) -> Result<Du, ApiError> {
        self.at_once(Method::POST, "du", request).await
    }

    /// How two artifacts differ, path by path.
    pub async fn diff(
        &self,
        request: &DiffRequest,
    ) -> Result<Events<Diffed, Difference>, ApiError> {
        self.events("diff", request).await
    }

    /// Hashes what is held and compares.
    pub async fn verify(
        &self,
        request: &VerifyRequest,
    ) -> Result<Events<Verified, Problem>, ApiError> {
        self.events("verify", request).await
    }

    /// What the node is and does.
    pub async fn status(&self) -> Result<Status, ApiError> {
        self.at_once(Method::GET, "status", &()).await
    }

    /// Peers the node has met, connected ones first.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, ApiError> {
        self.at_once(Method::GET, "peers", &()).await
    }

    /// Checks that only a node can make.
    pub async fn doctor(&self) -> Result<Vec<Check>, ApiError> {
        self.at_once(Method::GET, "doctor", &()).await
    }

    /// Asks the node to stop, and waits until its store is closed.
    pub async fn shut_down(&self) -> Result<(), ApiError> {
        self.at_once::<()>(Method::POST, "stop", &()).await?;
        let give_up = Instant::now() + STOP_TIME_MAX;
        while self.is_running() {
            if Instant::now() > give_up {
                let message = format!("process {} has not stopped yet", self.hello.pid);
                return Err(ApiError::new(ErrorKind::Busy, message)
                    .hint("it may be waiting for the disk; look again with `shoal status`"));
            }
            tokio::time::sleep(BUSY_RETRY).await;
        }
        Ok(())
    }

    /// Whether the process that the node is in still runs (or, if that is this process,
    /// whether its socket still has a name).
    fn is_running(&self) -> bool {
        if self.hello.pid == std::process::id() {
            return socket::has_name(&self.home);
        }
        crate::process::is_running(self.hello.pid)
    }

    async fn events<D, I>(
        &self,
        operation: &str,
        request: &impl Serialize,
    ) -> Result<Events<D, I>, ApiError> {
        let body = self.call(Method::POST, operation, request).await?;
        Ok(Events::remote(Lines::new(body)))
    }

    async fn at_once<T: DeserializeOwned>(
        &self,
        method: Method,
        operation: &str,
        request: &impl Serialize,
    ) -> Result<T, ApiError> {
        let body = self.call(method, operation, request).await?;
        whole(body).await
    }

    async fn call(
        &self,
        method: Method,
        operation: &str,
        request: &impl Serialize,
    ) -> Result<Incoming, ApiError> {
        let mut sender = match dial(&self.home).await {
            Ok(sender) => sender,
            Err(error) => return Err(went_away(&error)),
        };
        ask(&mut sender, method, operation, request).await
    }
}

/// Who has the store of this home open, if anybody has.
async fn holder(home: &Path) -> Result<Option<String>, ApiError> {
    let home = home.to_owned();
    blocking(move || shoal_store::holder(&*RealDisk::shared(), &home)).await
}

fn no_node(home: &Path) -> ApiError {
    let message = format!("no node runs for {}", home.display());
    ApiError::new(ErrorKind::NotFound, message).hint("`shoal up` starts it")
}

/// Somebody has the store, and no socket leads to him.
fn out_of_reach(home: &Path, holder: &str) -> ApiError {
    let message = format!(
        "the store at {} is in use by {holder}, and no socket leads there",
        home.display()
    );
    ApiError::new(ErrorKind::Busy, message).hint(
        "wait for it to start or to end; if it does not (was the home moved?), end that process \
         with `kill`: it closes the store in good order",
    )
}

/// Its socket is there, and it says nothing.
fn mute(home: &Path, holder: &str) -> ApiError {
    let message = format!("{holder} of {} does not answer", home.display());
    ApiError::new(ErrorKind::Busy, message).hint(
        "was it stopped? `kill -CONT` and its process number has it go on; `kill` ends it, and \
         nothing is lost",
    )
}

/// The node that runs, if one does and lets us in.
async fn reach(home: &Path) -> Result<Option<(Sender, Hello)>, ApiError> {
    let Ok(mut sender) = dial(home).await else {
        return Ok(None);
    };
    // In a copy of a home lies the note that leads to the node of the other.
    let Some(holder) = holder(home).await? else {
        return Ok(None);
    };
    let hello = async {
        match ask(&mut sender, Method::GET, "hello", &()).await {
            Ok(body) => Ok(Some(whole(body).await?)),
            // It is closing: as good as gone.
            Err(error) if error.kind == ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    };
    let hello = tokio::time::timeout(HELLO_TIME_MAX, hello).await;
    let hello: Option<Hello> = hello.map_err(|_| mute(home, &holder))??;
    Ok(hello.map(|hello| (sender, hello)))
}

async fn dial(home: &Path) -> std::io::Result<Sender> {
    let stream = socket::connect(home).await?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(std::io::Error::other)?;
    // Ends with its sender and the body that it carries.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the local connection ended");
        }
    });
    Ok(sender)
}

async fn ask(
    sender: &mut Sender,
    method: Method,
    operation: &str,
    request: &impl Serialize,
) -> Result<Incoming, ApiError> {
    let json = serde_json::to_vec(request).map_err(|error| {
        // The one thing that JSON cannot say is a path that is not UTF-8.
        let message = format!("a path in the request cannot be passed on: {error}");
        ApiError::new(ErrorKind::Usage, message)
    })?;
    let request = Request::builder()
        .method(method)
        .uri(format!("/v1/{operation}"))
        .header("host", "shoal")
        .header("te", "trailers")
        .body(Full::new(json.into()))
        .expect("a request of plain parts");
    let response = sender
        .send_request(request)
        .await
        .map_err(|e| went_away(&e))?;
    if response.status() == StatusCode::OK {
        return Ok(response.into_body());
    }
    Err(whole(response.into_body())
        .await
        .unwrap_or_else(|error| error))
}

async fn whole<T: DeserializeOwned>(body: Incoming) -> Result<T, ApiError> {
    let body = Limited::new(body, REPLY_BYTES_MAX);
    let bytes = body
        .collect()
        .await
        .map_err(|error| went_away(&error))?
        .to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| not_understood(&error))
}

fn went_away(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(
        ErrorKind::Interrupted,
        format!("the node went away ({error})"),
    )
    .hint("run the command again: it goes on where it stopped")
}
