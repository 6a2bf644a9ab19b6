//! Writes entries into a folder of the user, and never anywhere else.
//!
//! Owns: directories, symlinks, and the rule that a name inside the destination is only ever
//! reached through real directories; and [`Store::export`], which writes what is complete
//! here. Refuses: to know where bytes come from; that is [`receive`](crate::receive)'s.

mod links;
mod tree;

use crate::Store;
use crate::receive::{Next, ReceiveError, ReceiveRequest, Received};

pub(crate) use links::escapes;
pub(crate) use tree::Tree;

impl Store {
    /// Writes a snapshot that is complete here to a destination, under all rules of a
    /// [receive](Store::receive). It is a receive that has nothing to fetch; to show its
    /// progress or stop it, drive one by hand.
    pub fn export(&self, request: ReceiveRequest, sync: bool) -> Result<Received, ReceiveError> {
        let receive = self.receive(request)?;
        match receive.next()? {
            Next::Done => receive.finish(sync),
            Next::Pages(_) | Next::Run(_) | Next::Wait | Next::WaitForLast => {
                receive.checkpoint()?;
                let progress = receive.progress();
                let missing = progress.bytes_total - progress.bytes_held;
                Err(ReceiveError::Incomplete(missing))
            }
        }
    }
}
