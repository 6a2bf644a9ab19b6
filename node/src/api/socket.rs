//! Where a node's socket is, who may come in, and who is still there.
//!
//! Owns: the choice of a place that only this user can reach and that fits into the 107
//! bytes of a socket's address; the note in the home that tells clients of it; the check of
//! the peer's uid; the count of connections by which an embedded node knows when to go.
//! Refuses: to replace a socket without holding the store's lock: that is what tells a stale
//! socket from a live one.

use std::collections::HashMap;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use shoal_protocol::id::ChunkId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// What fits into `sun_path` with the NUL behind it (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// The file in a home that says where the socket is. Sessions of one user may have different
/// runtime directories (cron has none), so clients do not guess.
const POINTER: &str = "run/socket";

/// This process's user.
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Connects to the node of this home, if one runs there.
pub(crate) async fn connect(home: &Path) -> io::Result<UnixStream> {
    let path = std::fs::read(home.join(POINTER))?;
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(&path));
    let stream = UnixStream::connect(path).await?;
    // Nobody else's node is told what this user wants.
    if stream.peer_cred()?.uid() != own_uid() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(stream)
}

/// Whether a node has its socket in this home.
pub(crate) fn has_name(home: &Path) -> bool {
    home.join(POINTER).exists()
}

/// A node's open socket.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    door: Door,
}

/// The socket's name and the note that points to it, there for as long as this lives. It
/// goes after the last operation has ended and before the store's lock does: behind that,
/// the name may be another node's.
#[derive(Debug)]
pub(crate) struct SocketName {
    path: PathBuf,
    pointer: PathBuf,
}

impl Drop for SocketName {
    fn drop(&mut self) {
        // Either may be gone already; then there is nothing to do.
        let _gone = std::fs::remove_file(&self.pointer);
        let _gone = std::fs::remove_file(&self.path);
    }
}

impl Socket {
    /// Opens the socket of `home`, replacing one that an earlier node left behind. The caller
    /// holds the store's lock.
    pub(crate) fn open(home: &Path, door: Door) -> io::Result<(Self, SocketName)> {
        let run = home.join("run");
        private_directory(&run)?;
        let path = place(home, &run)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let pointer = home.join(POINTER);
        let draft = home.join(format!("{POINTER}.new"));
        std::fs::write(&draft, path.as_os_str().as_bytes())?;
        std::fs::rename(&draft, &pointer)?;
        Ok((Self { listener, door }, SocketName { path, pointer }))
    }
}

/// The first place that is private and whose name is short enough: the runtime directory,
/// the home, the directory for temporary files.
fn place(home: &Path, run: &Path) -> io::Result<PathBuf> {
    let canonical = home.canonicalize()?;
    let hash = ChunkId::of(canonical.as_os_str().as_bytes()).to_string();
    let name = format!("{}.sock", &hash[hash.len() - 16..]);
    let runtime = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute() && belongs_to_us(dir))
        .map(|dir| dir.join("shoal"));
    let temporary = std::env::temp_dir().join(format!("shoal-{}", own_uid()));
    let mut last = None;
    for directory in runtime.into_iter().chain([run.to_owned(), temporary]) {
        let path = directory.join(&name);
        if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            continue;
        }
        match private_directory(&directory) {
            Ok(()) => return Ok(path),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        io::Error::other("no directory for the socket has a name that is short enough")
    }))
}

fn belongs_to_us(dir: &Path) -> bool {
    std::fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir() && meta.uid() == own_uid())
}

/// Makes a directory that only this user can enter, or sees to it that it is one.
fn private_directory(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if !belongs_to_us(dir) {
        let told = format!("{} is not a directory of this user", dir.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, told));
    }
    std::fs::set_permissions(dir, Permissions::from_mode(0o700))
}

/// Who is at the other end of a connection, by the kernel's word (`SO_PEERCRED`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// User id; nothing if the kernel would not say.
    pub(crate) uid: Option<u32>,
}

impl axum::serve::Listener for Socket {
    type Io = Visit;
    type Addr = Caller;

    async fn accept(&mut self) -> (Visit, Caller) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let credentials = stream.peer_cred();
                    let uid = credentials.as_ref().ok().map(|c| c.uid());
                    // The node's own client is no reason for it to stay.
                    let pid = credentials.ok().and_then(|c| c.pid()).unwrap_or_default();
                    let is_own = i32::try_from(std::process::id()) == Ok(pid);
                    if let Some(guest) = self.door.enter((!is_own).then_some(pid)) {
                        return (
                            Visit {
                                stream,
                                _guest: guest,
                            },
                            Caller { uid },
                        );
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a local connection");
                    // Out of descriptors, most likely: some will be closed.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Caller> {
        Ok(Caller {
            uid: Some(own_uid()),
        })
    }
}

impl Connected<IncomingStream<'_, Socket>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Socket>) -> Self {
        *stream.remote_addr()
    }
}

/// A connection that is counted while it lives.
#[derive(Debug)]
pub(crate) struct Visit {
    stream: UnixStream,
    _guest: Guest,
}

impl AsyncRead for Visit {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Visit {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Counts who is inside, and closes only when nobody is.
#[derive(Debug, Clone)]
pub(crate) struct Door(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    state: Mutex<State>,
    guests: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    /// How many connections each process has.
    by_process: HashMap<i32, usize>,
}

/// A connection of somebody who is inside.
#[derive(Debug)]
struct Guest(Option<(Door, i32)>);

impl Door {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inside {
            state: Mutex::default(),
            guests: watch::Sender::new(0),
        }))
    }

    /// Lets a connection of a process in, unless the door is closed. Without a process it is
    /// not counted, and may be left behind.
    fn enter(&self, process: Option<i32>) -> Option<Guest> {
        let mut state = self.state();
        if state.closed {
            return None;
        }
        let Some(process) = process else {
            return Some(Guest(None));
        };
        *state.by_process.entry(process).or_default() += 1;
        self.0.guests.send_replace(state.by_process.len());
        Some(Guest(Some((self.clone(), process))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many processes are inside.
    pub(crate) fn guests(&self) -> usize {
        *self.0.guests.borrow()
    }

    /// Closes as soon as nobody is inside. Whoever was let in before finds the node there.
    pub(crate) async fn close_when_empty(&self) {
        let mut guests = self.0.guests.subscribe();
        loop {
            guests
                .wait_for(|guests| *guests == 0)
                .await
                .expect("the sender is in the same struct");
            let mut state = self.state();
            if state.by_process.is_empty() {
                state.closed = true;
                return;
            }
        }
    }

    /// Closes now.
    pub(crate) fn close(&self) {
        self.state().closed = true;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let Some((door, process)) = &self.0 else {
            return;
        };
        let mut state = door.state();
        if let Some(connections) = state.by_process.get_mut(process) {
            *connections -= 1;
            if *connections == 0 {
                state.by_process.remove(process);
            }
        }
        door.0.guests.send_replace(state.by_process.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_door_closes_only_when_the_last_guest_has_left() {
        let door = Door::new();
        let (first, second) = (door.enter(Some(1)), door.enter(Some(2)));
        let again = door.enter(Some(2));
        assert_eq!(door.guests(), 2);
        let closing = tokio::spawn({
            let door = door.clone();
            async move { door.close_when_empty().await }
        });
        drop(first);
        tokio::task::yield_now().await;
        assert!(!closing.is_finished());
        assert!(door.enter(None).is_some());
        drop(second);
        assert_eq!(door.guests(), 1);
        drop(again);
        closing.await.expect("closed");
        assert!(door.enter(Some(3)).is_none());
    }

    #[tokio::test]
    async fn a_socket_that_was_left_behind_is_replaced_and_cleaned_up() {
        let home = tempfile::tempdir().expect("a directory");
        let (stale, name) = Socket::open(home.path(), Door::new()).expect("opens");
        let path = name.path.clone();
        std::mem::forget(name);
        drop(stale);
        assert!(path.exists());
        assert!(connect(home.path()).await.is_err(), "nobody listens");

        let (_socket, name) = Socket::open(home.path(), Door::new()).expect("opens again");
        connect(home.path()).await.expect("somebody listens");
        drop(name);
        assert!(!path.exists());
        assert!(!home.path().join(POINTER).exists());
    }

    #[tokio::test]
    async fn a_home_with_a_long_name_has_a_socket_too() {
        let directory = tempfile::tempdir().expect("a directory");
        let home = directory.path().join("long".repeat(40));
        std::fs::create_dir(&home).expect("made");
        let _socket = Socket::open(&home, Door::new()).expect("opens");
        connect(&home).await.expect("somebody listens");
    }

    #[test]
    fn directories_of_others_and_symlinks_are_not_private() {
        let home = tempfile::tempdir().expect("a directory");
        let link = home.path().join("link");
        std::os::unix::fs::symlink("/tmp", &link).expect("made");
        assert!(private_directory(&link).is_err());
        let dir = home.path().join("dir");
        private_directory(&dir).expect("made");
        let mode = std::fs::metadata(&dir).expect("there").mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
