//! Entering a server as a member of the team.
//!
//! Owns: the client's half of the conversation: knocking without naming anybody, and showing
//! the proof of membership only to who knows the team. Refuses: to stay where the other side
//! shows no membership of its own.

use shoal_protocol::access::Nonce;
use shoal_protocol::access::presentation::Binding;
use shoal_protocol::wire::{Kind, Message, NotEnteredReason};

use super::link::{LinkReader, LinkWriter};
use super::session::{SessionError, farewell, retry_in};
use crate::team::TeamBook;

/// Has the server let this node in as a member of `team`. `ours` is bound to the server's
/// nonce, `nonce` is the one of our own Hello.
pub(super) async fn enter(
    team: &TeamBook,
    reader: &mut LinkReader,
    writer: &mut LinkWriter,
    ours: &Binding,
    nonce: Nonce,
) -> Result<(), SessionError> {
    let theirs = Binding { nonce, ..*ours };
    let no_team = || SessionError::Refused("this node is in no team".to_owned());
    let stranger = || SessionError::Refused("it is no member of this node's team".to_owned());
    let expected = |kind| {
        matches!(
            kind,
            Kind::Entered | Kind::NotEntered | Kind::Ping | Kind::Pong | Kind::Bye
        )
    };
    for with_proof in [false, true] {
        let enter = team.knock(ours, with_proof).ok_or_else(no_team)?;
        writer.send(enter, &[]).await?;
        writer.flush().await?;
        let answer = loop {
            let (message, length) = reader.message(expected).await?;
            reader.payload(&mut vec![0; length]).await?;
            match message {
                Message::Ping(_) | Message::Pong(_) => {}
                message => break message,
            }
        };
        match answer {
            Message::Entered(entered) => {
                let recognised = team.recognises(&entered.tag, Some(&entered.proof), &theirs);
                return recognised.then_some(()).ok_or_else(stranger);
            }
            Message::NotEntered(no) => match no.reason {
                NotEnteredReason::Unproven { tag } if team.recognises(&tag, None, &theirs) => {}
                NotEnteredReason::Unproven { .. } => return Err(stranger()),
                NotEnteredReason::Full { retry_ms } => {
                    return Err(SessionError::Full(retry_in(retry_ms)));
                }
                NotEnteredReason::NotPermitted => {
                    let why = "it does not take this node for a member of its team";
                    return Err(SessionError::Refused(why.to_owned()));
                }
            },
            Message::Bye(bye) => return Err(farewell(&bye)),
            _ => return Err(stranger()),
        }
    }
    Err(stranger())
}
