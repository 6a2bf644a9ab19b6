//! Why a session ended, or never began.

use std::time::Duration;

use shoal_protocol::wire::limits::BUSY_RETRY_MS_MAX;
use shoal_protocol::wire::{Bye, ByeReason, Refused, RefusedReason};

use crate::data::link::LinkError;

/// Why there is no session (any more).
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// Unreachable, lost, or too slow: it may be tried again.
    #[error("{0}")]
    Lost(String),
    /// It does not honour the grant.
    #[error("{0}")]
    Refused(String),
    /// It asks to be tried later.
    #[error("too many peers are connected to it")]
    Full(Duration),
    /// It broke the protocol, or sent what it should not have.
    #[error("{0}")]
    Misbehaved(String),
}

impl From<LinkError> for SessionError {
    fn from(error: LinkError) -> Self {
        match error.is_misbehaviour() {
            true => Self::Misbehaved(error.to_string()),
            false => Self::Lost(error.to_string()),
        }
    }
}

pub(in crate::data) fn refusal(refused: Refused) -> SessionError {
    match refused.reason {
        RefusedReason::NotPermitted => {
            SessionError::Refused("it does not honour this ticket (any more)".to_owned())
        }
        RefusedReason::Expired => {
            SessionError::Refused("the ticket has expired by its clock".to_owned())
        }
        RefusedReason::NotYet => {
            SessionError::Refused("the ticket is not valid yet by its clock".to_owned())
        }
        RefusedReason::NotNow => {
            SessionError::Lost("it does not share this at the moment".to_owned())
        }
        RefusedReason::Full { retry_ms } => SessionError::Full(retry_in(retry_ms)),
    }
}

pub(in crate::data) fn farewell(bye: &Bye) -> SessionError {
    let why = match bye.reason {
        ByeReason::Revoked => return SessionError::Refused("the ticket ended".to_owned()),
        ByeReason::NotAdmitted => "it did not let us in",
        ByeReason::ShuttingDown => "it stopped",
        ByeReason::TooSlow => "it found us too slow",
        ByeReason::Protocol => "it says that we broke the protocol",
        ByeReason::BadData => "it says that we sent bad data",
        ByeReason::Done | ByeReason::TooMany => "it ended the connection",
    };
    SessionError::Lost(match bye.detail.as_str() {
        "" => why.to_owned(),
        detail => format!("{why} ({detail})"),
    })
}

pub(crate) fn retry_in(retry_ms: u32) -> Duration {
    Duration::from_millis(u64::from(retry_ms.min(BUSY_RETRY_MS_MAX)))
}
