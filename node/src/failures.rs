//! What each library's errors mean to whoever asked: a kind, a sentence, a next step.
//!
//! Owns: every mapping from the errors of `store`, `protocol` and the data plane to
//! [`ApiError`]. Where an operation knows more than the error does, it says so itself.

use std::fmt;
use std::io;
use std::path::Path;

use shoal_protocol::access::TicketError;
use shoal_protocol::names::NameError;
use shoal_protocol::paged_list;
use shoal_store::check::VerifyError;
use shoal_store::ingest::AddError;
use shoal_store::receive::ReceiveError;
use shoal_store::{OpenError, ReadError, StoreError, is_no_space};

use crate::api::{ApiError, ErrorKind};
use crate::data::FetchError;
use crate::data::tls::TlsSetupError;
use crate::identity::IdentityError;
use crate::team::TeamFileError;

const MAKE_ROOM: &str = "make room and run the same command again: it goes on where it stopped";
const VERIFY: &str =
    "`shoal verify` finds what is damaged, `shoal verify --repair` fetches it again";
const REBUILD: &str = "stop the node if one runs (`shoal down`), move index.redb away and run the \
    command again: the index is rebuilt from the packs";

impl ApiError {
    /// An error of the file system at `path`.
    pub(crate) fn io(path: impl AsRef<Path>, error: &io::Error) -> Self {
        let message = format!("{}: {error}", path.as_ref().display());
        match error.kind() {
            io::ErrorKind::NotFound => Self::new(ErrorKind::NotFound, message),
            _ if is_no_space(error) => Self::new(ErrorKind::NoSpace, message).hint(MAKE_ROOM),
            _ => Self::new(ErrorKind::Error, message),
        }
    }

    /// What is wrong, and behind the last colon what to do about it.
    pub(crate) fn in_two(kind: ErrorKind, text: &str) -> Self {
        match text.rsplit_once(':') {
            Some((message, hint)) => Self::new(kind, message).hint(hint.trim()),
            None => Self::new(kind, text),
        }
    }

    /// A failure that nobody outside shoal can do anything about.
    pub(crate) fn our_fault(why: &dyn fmt::Display) -> Self {
        let message = format!("the operation failed in a way that is a fault of shoal ({why})");
        Self::new(ErrorKind::Error, message).hint("please report it, with the node's stderr")
    }

    /// The disk is full.
    pub(crate) fn is_no_space(&self) -> bool {
        self.kind == ErrorKind::NoSpace
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match &error {
            _ if error.is_no_space() => Self::new(ErrorKind::NoSpace, message).hint(MAKE_ROOM),
            _ if error.is_damaged_index() => Self::new(ErrorKind::Integrity, message).hint(REBUILD),
            StoreError::DamagedPage(_) => Self::new(ErrorKind::Integrity, message).hint(VERIFY),
            StoreError::Poisoned(_) => Self::new(ErrorKind::Error, message)
                .hint("check the disk, then stop the node (`shoal down`) and start again"),
            StoreError::Io { .. } | StoreError::Index(_) | StoreError::DamagedIndex { .. } => {
                Self::new(ErrorKind::Error, message)
            }
        }
    }
}

impl From<OpenError> for ApiError {
    fn from(error: OpenError) -> Self {
        let message = error.to_string();
        match error {
            OpenError::Busy { .. } => Self::new(ErrorKind::Busy, message)
                .hint("wait for it to end, or stop a running node with `shoal down`"),
            OpenError::NetworkFileSystem { .. } => Self::new(ErrorKind::Error, message).hint(
                "set SHOAL_HOME to a directory on a disk of this machine: a store is one machine's",
            ),
            OpenError::NewerFormat { .. } => {
                Self::new(ErrorKind::Error, message).hint("update shoal; the store was not touched")
            }
            OpenError::OlderFormat { .. } => Self::new(ErrorKind::Error, message)
                .hint("open it once with an earlier release, or set SHOAL_HOME to a new directory"),
            OpenError::MissingIndex { .. } => Self::new(ErrorKind::Integrity, message)
                .hint("run any command with this home: the index is rebuilt from the packs"),
            OpenError::DamagedIndex { .. } => {
                Self::new(ErrorKind::Integrity, message).hint(REBUILD)
            }
            OpenError::Store(error) => error.into(),
        }
    }
}

impl From<TeamFileError> for ApiError {
    fn from(error: TeamFileError) -> Self {
        let message = error.to_string();
        let hint = match &error {
            TeamFileError::Exposed { path, .. } => format!("chmod 600 {}", path.display()),
            TeamFileError::Malformed { path } => format!(
                "move {} away: the node is in no team then, and an admin can invite it again",
                path.display()
            ),
            TeamFileError::Io { path, source } => return Self::io(path, source),
        };
        Self::new(ErrorKind::Error, message).hint(hint)
    }
}

impl From<IdentityError> for ApiError {
    fn from(error: IdentityError) -> Self {
        let message = error.to_string();
        let hint = match &error {
            IdentityError::Exposed { path, .. } => format!("chmod 600 {}", path.display()),
            IdentityError::Malformed { path } => format!(
                "put {} back from a backup, or remove it to become a new node",
                path.display()
            ),
            IdentityError::Io { .. } => return Self::new(ErrorKind::Error, message),
        };
        Self::new(ErrorKind::Error, message).hint(hint)
    }
}

impl From<TlsSetupError> for ApiError {
    fn from(error: TlsSetupError) -> Self {
        Self::our_fault(&error)
    }
}

impl From<NameError> for ApiError {
    fn from(error: NameError) -> Self {
        Self::new(ErrorKind::Usage, error.to_string())
            .hint("names look like `lab/imagenet`, `lab/imagenet@v3` or `lab/imagenet:path/inside`")
    }
}

/// Ticket errors end in what to do, after a colon; it becomes the hint.
impl From<TicketError> for ApiError {
    fn from(error: TicketError) -> Self {
        let kind = match error {
            TicketError::Expired { .. } | TicketError::NotYet { .. } => ErrorKind::NotPermitted,
            TicketError::ForAnother(peer) => {
                let message = format!("the ticket is bound to another node ({peer})");
                return Self::new(ErrorKind::NotPermitted, message)
                    .hint("ask for a ticket made with `shoal share … --to` and the `peer` that `shoal status` shows here");
            }
            TicketError::NotATicket
            | TicketError::Version(_)
            | TicketError::TooLong
            | TicketError::Character { .. }
            | TicketError::Checksum
            | TicketError::Malformed
            | TicketError::Tampered => ErrorKind::Usage,
        };
        Self::in_two(kind, &error.to_string())
    }
}

impl From<AddError> for ApiError {
    fn from(error: AddError) -> Self {
        let message = error.to_string();
        match error {
            AddError::NotAbsolute(_) | AddError::InsideStore(_) | AddError::NotAFileOrFolder(_) => {
                Self::new(ErrorKind::Usage, message)
            }
            AddError::NotFound(_) => Self::new(ErrorKind::NotFound, message),
            AddError::Unusable(_) => Self::new(ErrorKind::Error, message).hint(
                "rename them, make them readable, or name them in .shoalignore; nothing was added",
            ),
            AddError::Changing(_) => Self::new(ErrorKind::Error, message).hint(
                "run it again when whatever writes or removes them has ended; nothing was added",
            ),
            AddError::NoSpace { .. } => Self::new(ErrorKind::NoSpace, message)
                .hint("make room, or use the files where they are with `--in-place`"),
            AddError::Cancelled => Self::interrupted(),
            AddError::Store(error) => error.into(),
        }
    }
}

impl From<VerifyError> for ApiError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::UnknownSnapshot(_) => Self::new(ErrorKind::NotFound, error.to_string())
                .hint("`shoal ls` shows what is here"),
            VerifyError::Cancelled => Self::interrupted(),
            VerifyError::Store(error) => error.into(),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let message = error.to_string();
        match error {
            ReadError::UnknownSnapshot(_) => {
                Self::new(ErrorKind::NotFound, message).hint("`shoal ls` shows what is here")
            }
            // It was here: only what was added or received is asked for.
            ReadError::Missing(_) | ReadError::MissingPage(_) | ReadError::BadPage { .. } => {
                Self::new(ErrorKind::Integrity, message).hint(VERIFY)
            }
            ReadError::BadRange { .. } => Self::our_fault(&message),
            ReadError::Store(error) => error.into(),
        }
    }
}

/// Pages come from this disk, or through a source that knows better what went wrong.
impl<E: Into<ApiError> + fmt::Display> From<paged_list::ReadError<E>> for ApiError {
    fn from(error: paged_list::ReadError<E>) -> Self {
        let message = error.to_string();
        match error {
            paged_list::ReadError::Missing(_) | paged_list::ReadError::Corrupt { .. } => {
                Self::new(ErrorKind::Integrity, message).hint(VERIFY)
            }
            paged_list::ReadError::Source(error) => error.into(),
        }
    }
}

impl From<ReceiveError> for ApiError {
    fn from(error: ReceiveError) -> Self {
        let message = error.to_string();
        match error {
            ReceiveError::UnknownSnapshot(_) | ReceiveError::NoSuchPath(_) => {
                Self::new(ErrorKind::NotFound, message).hint("`shoal ls` shows what is there")
            }
            ReceiveError::DestinationBusy { .. } => Self::new(ErrorKind::Busy, message)
                .hint("wait for it to end, or choose another DEST"),
            ReceiveError::InsideStore { .. } | ReceiveError::WrongShape { .. } => {
                Self::new(ErrorKind::Usage, message).hint("choose another DEST")
            }
            ReceiveError::NotEmpty { .. } => Self::new(ErrorKind::Error, message)
                .hint("choose another DEST, or `--force` to write into it and replace files of the same names"),
            ReceiveError::Edited { .. } => Self::new(ErrorKind::Error, message)
                .hint("choose another DEST, or `--force` to overwrite them"),
            ReceiveError::KindClash { .. } => Self::new(ErrorKind::Error, message)
                .hint("move them away, or choose another DEST; `--force` does not remove them"),
            ReceiveError::NamesCollide { .. } => Self::new(ErrorKind::Error, message)
                .hint("choose a DEST on a file system that tells them apart"),
            ReceiveError::ReservedName(_) => Self::new(ErrorKind::Error, message),
            ReceiveError::NoRoom { .. } | ReceiveError::NoSpace { .. } => {
                Self::new(ErrorKind::NoSpace, message).hint(MAKE_ROOM)
            }
            ReceiveError::Mismatch { .. } | ReceiveError::BadPage { .. } => {
                Self::new(ErrorKind::Integrity, message).hint("ask the sharer to share it again")
            }
            ReceiveError::Incomplete(_) => Self::new(ErrorKind::NoSource, message)
                .hint("get it again with its ticket, or `shoal verify --repair`"),
            ReceiveError::Cancelled => Self::interrupted(),
            ReceiveError::Disk { path, source } => match Self::io(path, &source) {
                full if full.is_no_space() => full,
                // What is not found is no id, no name and nothing that was asked for.
                other => Self::new(ErrorKind::Error, other.message)
                    .hint("choose another DEST; the same command goes on where it stopped"),
            },
            ReceiveError::Unrequested { .. }
            | ReceiveError::WrongLength { .. }
            | ReceiveError::Store(_) => Self::new(ErrorKind::Error, message),
            #[allow(unreachable_patterns)]
            _ => Self::new(ErrorKind::Error, message),
        }
    }
}

impl From<FetchError> for ApiError {
    fn from(error: FetchError) -> Self {
        let message = error.to_string();
        let ask = "see that the sharer still serves it (`shoal share`, or `shoal up` there) and that the network lets you through; the same command goes on where it stopped";
        match error {
            FetchError::Ticket(error) => error.into(),
            FetchError::NoSource | FetchError::TimedOut { .. } => {
                Self::new(ErrorKind::NoSource, message).hint(ask)
            }
            FetchError::PageNotFound { .. } | FetchError::Gone { .. } => Self::new(ErrorKind::NoSource, message)
                .hint("the sharer does not hold all of it any more: ask for a new ticket"),
            FetchError::NotPermitted(_) => Self::new(ErrorKind::NotPermitted, message)
                .hint("ask the sharer for a new ticket: it is not shared any more, or the ticket has ended"),
            FetchError::Misbehaved { .. } => Self::new(ErrorKind::Integrity, message)
                .hint("what it sent was thrown away; ask for a ticket from another node"),
            FetchError::Malformed(_) => Self::new(ErrorKind::Integrity, message)
                .hint("the ticket stands for something that no shoal made; nothing was written"),
            FetchError::Cancelled => Self::interrupted(),
            FetchError::Receive(error) => error.into(),
            FetchError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticket_errors_are_a_sentence_and_a_hint() {
        for (error, kind) in [
            (TicketError::NotATicket, ErrorKind::Usage),
            (TicketError::TooLong, ErrorKind::Usage),
            (TicketError::Checksum, ErrorKind::Usage),
            (TicketError::Tampered, ErrorKind::Usage),
            (TicketError::Expired { ago_s: 7 }, ErrorKind::NotPermitted),
        ] {
            let shown = ApiError::from(error);
            assert_eq!(shown.kind, kind, "{error:?}");
            assert!(shown.message.contains("ticket"), "{shown:?}");
            assert!(shown.hint.is_some_and(|hint| !hint.is_empty()), "{error:?}");
        }
    }
}
