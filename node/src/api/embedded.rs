//! A node that lives in another program: a command's, for as long as it or others need it,
//! or a daemon's.
//!
//! Owns: the order in which a node with a socket opens and closes. Opening: the store's
//! lock, then the socket. Closing: the door, operations and their replies, the socket's
//! name, and the store, with its lock, last.

use std::path::Path;

use shoal_store::is_no_space;

use crate::api::errors::{ApiError, ErrorKind};
use crate::api::server::Server;
use crate::api::socket::{Door, Socket, SocketName};
use crate::node::{Node, NodeOptions};

/// A node with its socket.
#[derive(Debug)]
pub(crate) struct Embedded {
    node: Node,
    door: Door,
    server: Server,
    name: SocketName,
}

impl Embedded {
    /// Opens the node of this home and its socket.
    pub(crate) async fn open(home: &Path, options: NodeOptions) -> Result<Self, ApiError> {
        let node = Node::open(home, options).await?;
        let door = Door::new();
        match Socket::open(node.home(), door.clone()) {
            Ok((socket, name)) => Ok(Self {
                server: Server::start(socket, node.clone()),
                node,
                door,
                name,
            }),
            Err(error) => {
                node.shut_down().await?;
                if is_no_space(&error) {
                    return Err(ApiError::io(home, &error));
                }
                let message = format!("cannot open the socket of {}: {error}", home.display());
                Err(ApiError::new(ErrorKind::Error, message)
                    .hint("set XDG_RUNTIME_DIR to a directory that only you can enter"))
            }
        }
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// How many other programs use it.
    pub(crate) fn guests(&self) -> usize {
        self.door.guests()
    }

    /// Closes when nobody uses it any more.
    pub(crate) async fn close_when_empty(self) -> Result<(), ApiError> {
        tokio::select! {
            () = self.door.close_when_empty() => {}
            () = self.node.stop().cancelled() => {}
        }
        self.close().await
    }

    /// Closes now; operations that run end as interrupted.
    pub(crate) async fn close(self) -> Result<(), ApiError> {
        self.door.close();
        self.server.stop().await;
        self.node.finish_operations().await;
        drop(self.name);
        self.node.shut_down().await
    }
}
