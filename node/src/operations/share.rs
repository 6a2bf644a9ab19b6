//! `share`: a ticket, and serving what it is for.

use std::sync::Arc;
use std::time::Duration;

use libp2p_identity::ed25519::Keypair;
use rand::RngCore;
use shoal_protocol::access::ticket::NameHint;
use shoal_protocol::access::{Grant, HolderSecret, Rights, Scope, SignedGrant, Ticket};
use shoal_protocol::bounded::Text;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::size::Size;
use shoal_store::index::{AudienceId, Coverage, Origin, SnapshotRow};
use shoal_store::ingest::AddMode;

use super::add::Files;
use crate::api::{ApiError, ErrorKind, Events, Phase, Reporter, Served, ShareRequest, Shared};
use crate::node::{Node, blocking, unix_now_s};
use crate::resolve::{Target, not_here, place, subject};
use crate::shares::{Hold, Record, Role};

/// How often serving says how it goes.
const TELL_EVERY: Duration = Duration::from_millis(500);

impl Node {
    /// Makes a ticket. Its item comes when the ticket is good; after that a daemon ends the
    /// reply, and any other node serves for as long as the reply is read.
    pub fn share(&self, request: ShareRequest) -> Events<Served, Shared> {
        self.operation(
            "share",
            subject(&request.what),
            |node, reporter| async move {
                let to = request.to.as_deref().map(recipient).transpose()?;
                let (row, name) = node.to_share(&request, &reporter).await?;
                // First: who has a ticket of earlier comes as soon as somebody listens.
                let hold = node.shares().hold(row.snapshot);
                node.plane().listen(node.is_daemon()).await?;
                let expires_s = request.expires_s;
                let ticket = node
                    .ticket(&row, name.as_deref(), to, expires_s, &reporter)
                    .await?;
                if node.is_daemon() {
                    node.shares().keep(row.snapshot);
                }
                let grant = &ticket.grant().grant;
                let mine = ticket
                    .sources()
                    .iter()
                    .find(|source| source.peer == node.peer());
                reporter
                    .item(Shared {
                        snapshot: row.id(),
                        entries: row.snapshot.entries,
                        bytes: row.snapshot.bytes,
                        expires_unix_s: grant.expires_unix_s,
                        addresses: mine.map_or_else(Vec::new, |source| {
                            source.addresses.iter().map(ToString::to_string).collect()
                        }),
                        by_daemon: node.is_daemon(),
                        ticket: ticket.to_text(),
                    })
                    .await?;
                if node.is_daemon() {
                    return Ok(Served::default());
                }
                node.serve(&hold, None, &reporter).await
            },
        )
    }

    /// What is to be shared, and what people call it. A path is added in place first.
    async fn to_share(
        &self,
        request: &ShareRequest,
        reporter: &Reporter<Shared>,
    ) -> Result<(SnapshotRow, Option<String>), ApiError> {
        let (store, what) = (self.store()?, request.what.clone());
        let view = store.view();
        let target = blocking(move || Target::of(&view, &what)).await?;
        let (row, name) = match target {
            Target::Path(path) => {
                let name = path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned());
                let files = Files {
                    path,
                    all: request.all,
                    mode: AddMode::InPlace,
                    kept: false,
                    audience: None,
                };
                let added = self.add_files(files, reporter).await?;
                let row = blocking(move || store.view().snapshot(&added.snapshot)).await?;
                let row = row.ok_or_else(|| ApiError::our_fault(&"the snapshot is not there"))?;
                return Ok((row, name));
            }
            Target::Snapshot {
                inside: Some(inside),
                ..
            } => {
                let message =
                    format!("a part (`{inside}`) of an artifact cannot be shared by itself yet");
                return Err(ApiError::new(ErrorKind::Usage, message)
                    .hint("share the whole, or get the part and share that"));
            }
            Target::Snapshot { row, name, .. } => {
                let place = place(&row.origin).file_name();
                let place = place.map(|name| name.to_string_lossy().into_owned());
                (*row, name.or(place))
            }
            Target::Unknown { snapshot, .. } => return Err(not_here(&snapshot)),
            Target::Ticket { .. } => {
                return Err(
                    ApiError::new(ErrorKind::Usage, "a ticket is shared already")
                        .hint("get it first, then share the place it went to"),
                );
            }
        };
        if row.held == Coverage::Ranges(Vec::new()) && row.snapshot.bytes > 0 {
            let message = format!("nothing of {} is here", row.id().short());
            return Err(ApiError::new(ErrorKind::NotFound, message).hint("get it first"));
        }
        Ok((row, name))
    }

    /// A ticket for the snapshot: a new one for what this node added; the one that it came
    /// with, with our addresses, for what it got, because whoever shared it decides who may
    /// read it.
    async fn ticket(
        &self,
        row: &SnapshotRow,
        name: Option<&str>,
        to: Option<PeerKey>,
        expires_s: Option<u64>,
        reporter: &Reporter<Shared>,
    ) -> Result<Ticket, ApiError> {
        let addresses = self.plane().dialable().await;
        let is_ours =
            row.audience == AudienceId::SELF || matches!(row.origin, Origin::Added { .. });
        let (ticket, role) = if is_ours {
            let expires_s = expires_s.unwrap_or(self.config().share_expires.as_seconds());
            (
                issue(self.identity().keypair(), row, name, to, expires_s),
                Role::Issued,
            )
        } else {
            let ticket = self.handed_on(row, to)?;
            if expires_s.is_some() {
                reporter.info("the ticket is the one it was got with, and ends when that does");
            }
            (ticket, Role::Used)
        };
        let ticket = ticket.with_source(self.peer(), addresses);
        let record = Record {
            ticket: ticket.clone(),
            role,
            name: name.map(str::to_owned),
            by_daemon: self.is_daemon(),
        };
        let (shares, store) = (Arc::clone(self.shares()), self.store()?);
        blocking(move || shares.remember(&store, record)).await?;
        Ok(ticket)
    }

    fn handed_on(&self, row: &SnapshotRow, to: Option<PeerKey>) -> Result<Ticket, ApiError> {
        let id = row.id().short();
        let refused = |message: String, hint: &str| {
            Err(ApiError::new(ErrorKind::NotPermitted, message).hint(hint))
        };
        let Some(ticket) = self.shares().used_ticket(&row.id()) else {
            return refused(
                format!("the ticket that {id} was got with has ended"),
                "ask its sharer for a new one, and get it again: nothing will move",
            );
        };
        if ticket.secret().is_none() {
            return refused(
                format!("{id} was shared with this node alone"),
                "ask its sharer for a ticket for the others",
            );
        }
        if to.is_some() {
            return refused(
                format!("{id} belongs to another node, which alone can bind it to somebody"),
                "leave `--to` out, or ask its sharer",
            );
        }
        Ok(ticket)
    }

    /// Serves until nobody listens any more, or for a time. Tells once if some of it turns out
    /// not to be here any more.
    pub(super) async fn serve<I>(
        &self,
        hold: &Hold,
        time: Option<Duration>,
        reporter: &Reporter<I>,
    ) -> Result<Served, ApiError> {
        let began = tokio::time::Instant::now();
        let offered = self.offered(hold).await?;
        let mut has_told = false;
        reporter.progress(|p| p.phase = Phase::Serving);
        while time.is_none_or(|time| began.elapsed() < time) {
            let left = time.map_or(TELL_EVERY, |time| time.saturating_sub(began.elapsed()));
            tokio::select! {
                () = tokio::time::sleep(left.min(TELL_EVERY)) => {}
                () = reporter.token().cancelled() => break,
            }
            let peers = self.plane().guests().await;
            let mut news = false;
            reporter.progress_if_changed(|p| {
                let now = (hold.wire_out(), peers);
                news = (p.wire_out, p.peers) != now;
                (p.wire_out, p.peers) = now;
                news
            });
            // Only whoever is served finds out that something is gone.
            if news && !has_told {
                let lost = offered.saturating_sub(self.offered(hold).await?);
                if lost > 0 {
                    has_told = true;
                    reporter.warn(
                        format!(
                            "{} of it or more are not on this disk as they were shared: files \
                             were edited, moved or removed",
                            Size(lost)
                        ),
                        Some("`shoal status` names them; share again what is there now".to_owned()),
                    );
                }
            }
        }
        Ok(Served {
            wire_out: hold.wire_out(),
        })
    }

    /// How many bytes of what is shared are offered.
    async fn offered(&self, hold: &Hold) -> Result<u64, ApiError> {
        let (store, id) = (self.store()?, hold.snapshot());
        blocking(move || {
            let row = store.view().snapshot(&id)?;
            Ok::<_, ApiError>(row.map_or(0, |row| row.offered.bytes(row.snapshot.bytes)))
        })
        .await
    }
}

fn recipient(text: &str) -> Result<PeerKey, ApiError> {
    text.parse().map_err(|error| {
        ApiError::new(ErrorKind::Usage, format!("`{text}` is not a node: {error}"))
            .hint("`--to` takes the `peer` that `shoal status` shows over there")
    })
}

/// A ticket of this node's own making.
fn issue(
    issuer: &Keypair,
    row: &SnapshotRow,
    name: Option<&str>,
    to: Option<PeerKey>,
    expires_s: u64,
) -> Ticket {
    let mut secret = [0; 32];
    let mut nonce = [0; 16];
    rand::rng().fill_bytes(&mut secret);
    rand::rng().fill_bytes(&mut nonce);
    let secret = HolderSecret::from_bytes(secret);
    let now = unix_now_s();
    let grant = Grant {
        issuer: PeerKey::of(issuer),
        holder: to.unwrap_or_else(|| PeerKey::of(&secret.keypair())),
        scope: Scope::Snapshot(row.id()),
        rights: Rights::READ,
        issued_unix_s: now,
        expires_unix_s: Some(now.saturating_add(expires_s)),
        nonce,
    };
    let secret = to.is_none().then_some(secret);
    Ticket::new(
        SignedGrant::sign(grant, issuer),
        secret,
        name.and_then(name_hint),
    )
}

/// What the getter's folder is called if nothing else is said: the last part of the name.
fn name_hint(name: &str) -> Option<NameHint> {
    let last = name.rsplit('/').next()?;
    let hint: NameHint = Text::cut(last);
    (!hint.as_str().is_empty()).then_some(hint)
}
