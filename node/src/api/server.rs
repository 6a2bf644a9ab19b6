//! The node's end of the local socket: one endpoint an operation.
//!
//! Owns: routes, the bound on requests, the refusal of other users. Refuses: everything that
//! an operation does. `/v1/…`: GET for what is looked up at once, POST for operations, whose
//! replies are JSON lines ([`Event`](crate::api::Event)) or, for `cat`, raw bytes. A client
//! that goes away cancels what it asked for.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use crate::api::errors::{ApiError, ErrorKind};
use crate::api::lines;
use crate::api::socket::{Caller, Socket, own_uid};
use crate::api::types::*;
use crate::node::Node;

/// The most bytes in a request: paths, a ticket, a message.
const REQUEST_BYTES_MAX: usize = 128 * 1024;
/// How long a reply may take to come to its end when the node stops.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// A node that listens to its socket.
#[derive(Debug)]
pub(crate) struct Server {
    node: Node,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Starts to listen.
    pub(crate) fn start(socket: Socket, node: Node) -> Self {
        let service = router(node.clone()).into_make_service_with_connect_info::<Caller>();
        let stop = node.stop().clone();
        let serve = axum::serve(socket, service)
            .with_graceful_shutdown(async move { stop.cancelled().await });
        Self {
            node,
            task: tokio::spawn(async move { serve.await }),
        }
    }

    /// Stops the node's operations, and listening once their replies have said so.
    pub(crate) async fn stop(mut self) {
        self.node.stop().cancel();
        if tokio::time::timeout(STOP_TIME_MAX, &mut self.task)
            .await
            .is_err()
        {
            self.task.abort();
        }
    }
}

fn router(node: Node) -> Router {
    Router::new()
        .route("/v1/hello", get(hello))
        .route("/v1/status", get(status))
        .route("/v1/peers", get(peers))
        .route("/v1/snapshots", get(snapshots))
        .route("/v1/doctor", get(doctor))
        .route("/v1/stop", post(stop))
        .route("/v1/add", post(add))
        .route("/v1/share", post(share))
        .route("/v1/get", post(fetch))
        .route("/v1/ls", post(ls))
        .route("/v1/cat", post(cat))
        .route("/v1/du", post(du))
        .route("/v1/diff", post(diff))
        .route("/v1/verify", post(verify))
        .route("/v1/whereis", post(whereis))
        .route("/v1/team", get(team))
        .route("/v1/team/create", post(team_create))
        .route("/v1/team/invite", post(team_invite))
        .route("/v1/team/join", post(team_join))
        .route("/v1/team/revoke", post(team_revoke))
        .route("/v1/team/admin", post(team_admin))
        .fallback(unknown)
        .layer(middleware::from_fn(same_user))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(node)
}

/// Nobody is served whose files this process could not tell from its own user's, not even
/// root (DESIGN §9: a node never reads or writes files for another user).
async fn same_user(
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: Request,
    next: Next,
) -> Response {
    match refusal(caller, own_uid()) {
        Some(error) => error.into_response(),
        None => next.run(request).await,
    }
}

fn refusal(caller: Caller, own: u32) -> Option<ApiError> {
    if caller.uid == Some(own) {
        return None;
    }
    let who = caller
        .uid
        .map_or_else(|| "an unknown user".to_owned(), |uid| format!("user {uid}"));
    let message = format!("this node belongs to user {own} and does not work for {who}");
    Some(
        ApiError::new(ErrorKind::NotPermitted, message)
            .hint("use a home of your own: set SHOAL_HOME"),
    )
}

async fn hello(State(node): State<Node>) -> Json<Hello> {
    Json(node.hello())
}

async fn status(State(node): State<Node>) -> Response {
    at_once(node.status().await)
}

async fn peers(State(node): State<Node>) -> Response {
    at_once(node.peers().await)
}

async fn snapshots(State(node): State<Node>) -> Response {
    at_once(node.snapshots().await)
}

async fn doctor(State(node): State<Node>) -> Response {
    at_once(node.doctor().await)
}

async fn stop(State(node): State<Node>) -> Response {
    node.stop().cancel();
    at_once(Ok(()))
}

async fn add(State(node): State<Node>, Ask(request): Ask<AddRequest>) -> Response {
    lines::reply(node.add(request))
}

async fn share(State(node): State<Node>, Ask(request): Ask<ShareRequest>) -> Response {
    lines::reply(node.share(request))
}

async fn fetch(State(node): State<Node>, Ask(request): Ask<GetRequest>) -> Response {
    lines::reply(node.get(request))
}

async fn ls(State(node): State<Node>, Ask(request): Ask<LsRequest>) -> Response {
    lines::reply(node.ls(request))
}

async fn diff(State(node): State<Node>, Ask(request): Ask<DiffRequest>) -> Response {
    lines::reply(node.diff(request))
}

async fn verify(State(node): State<Node>, Ask(request): Ask<VerifyRequest>) -> Response {
    lines::reply(node.verify(request))
}

async fn du(State(node): State<Node>, Ask(request): Ask<DuRequest>) -> Response {
    at_once(node.du(request).await)
}

async fn cat(State(node): State<Node>, Ask(request): Ask<CatRequest>) -> Response {
    match node.cat(request).await {
        Ok(bytes) => lines::raw_reply(bytes.into_stream()),
        Err(error) => error.into_response(),
    }
}

async fn whereis(State(node): State<Node>, Ask(request): Ask<WhereisRequest>) -> Response {
    at_once(node.whereis(request).await)
}

async fn team(State(node): State<Node>) -> Response {
    at_once(node.team_info().await)
}

async fn team_create(State(node): State<Node>, Ask(request): Ask<TeamCreateRequest>) -> Response {
    at_once(node.team_create(request).await)
}

async fn team_invite(State(node): State<Node>, Ask(request): Ask<InviteRequest>) -> Response {
    at_once(node.team_invite(request).await)
}

async fn team_join(State(node): State<Node>, Ask(request): Ask<JoinRequest>) -> Response {
    at_once(node.team_join(request).await)
}

async fn team_revoke(State(node): State<Node>, Ask(request): Ask<MemberRequest>) -> Response {
    at_once(node.team_revoke(request).await)
}

async fn team_admin(State(node): State<Node>, Ask(request): Ask<MemberRequest>) -> Response {
    at_once(node.team_admin(request).await)
}

async fn unknown(request: Request) -> Response {
    let message = format!(
        "this node has no operation {} {}",
        request.method(),
        request.uri().path()
    );
    ApiError::new(ErrorKind::NotFound, message)
        .hint("if it is of an older version, `shoal down` and start it again")
        .into_response()
}

fn at_once<T: Serialize>(result: Result<T, ApiError>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => error.into_response(),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = match self.kind {
            ErrorKind::Usage => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::NotPermitted => StatusCode::FORBIDDEN,
            ErrorKind::Busy => StatusCode::CONFLICT,
            ErrorKind::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
            ErrorKind::NoSource | ErrorKind::Interrupted => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Error | ErrorKind::Integrity => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(self)).into_response()
    }
}

/// A request's JSON; what is wrong with it is answered as every other error is.
struct Ask<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Ask<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let wrong = |why: &dyn std::fmt::Display| {
            ApiError::new(
                ErrorKind::Usage,
                format!("the request cannot be read: {why}"),
            )
        };
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|error| wrong(&error))?;
        serde_json::from_slice(&body)
            .map(Ask)
            .map_err(|error| wrong(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_users_are_refused_and_told_why() {
        let caller = |uid| Caller { uid };
        assert_eq!(refusal(caller(Some(1000)), 1000), None);
        for stranger in [Some(0), Some(1001), None] {
            let error = refusal(caller(stranger), 1000).expect("refused");
            assert_eq!(error.kind, ErrorKind::NotPermitted);
            assert!(error.message.contains("user 1000"));
        }
        assert!(
            refusal(caller(Some(1000)), 0).is_some(),
            "nor does root work for others"
        );
    }
}
