//! Redeeming an invitation: a guest's one conversation with the minter.
//!
//! Owns: the conversation, and believing nothing of it that the team's root did not sign.
//! Refuses: to try again, unless the minter asks it to; an invitation that was counted is
//! remembered by the minter, so the same command may be run again.

use std::time::Duration;

use shoal_protocol::access::presentation::Binding;
use shoal_protocol::access::team::{
    Batch, EpochSecret, Invitation, MemberName, Redemption, SignedOperation, TEAM_BYTES_MAX,
};
use shoal_protocol::bounded::List;
use shoal_protocol::id::TeamId;
use shoal_protocol::wire::{Kind, Message, NotEntered, NotEnteredReason, NotWelcomeReason, Redeem};
use tokio::time::{Instant, sleep, timeout};

use super::book::{TeamBook, TeamError};
use crate::data::link::{Link, LinkError};
use crate::data::{Endpoint, dial, greeting, session};

/// How long the minter may take for all of it.
const CONVERSATION: Duration = Duration::from_secs(30);
/// How long to wait for as long as others are let in first.
const TURN: Duration = Duration::from_secs(60);
/// And how long at least between two attempts.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Why a guest is not in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    /// The minter does not answer.
    #[error("the node that made the invitation cannot be reached: {0}")]
    Unreachable(String),
    /// It said no.
    #[error("{}", not_welcome(*.0))]
    NotWelcome(NotWelcomeReason),
    /// It lets others in, and says when to come back.
    #[error("the node that made the invitation is busy letting others in")]
    Full {
        /// After so long.
        retry: Duration,
    },
    /// What it said makes no sense.
    #[error("the node that made the invitation broke the protocol: {0}")]
    Protocol(String),
    /// It could not be remembered, or the node is in a team already.
    #[error(transparent)]
    Team(#[from] TeamError),
}

fn not_welcome(reason: NotWelcomeReason) -> &'static str {
    match reason {
        NotWelcomeReason::NotPermitted => "the node that made the invitation does not know it",
        NotWelcomeReason::Expired => "the invitation has expired by the clock of who made it",
        NotWelcomeReason::UsedUp => "the invitation was used as often as it may be",
        NotWelcomeReason::Revoked => "this node was revoked in that team, or left it",
        NotWelcomeReason::Unable => "the node that made the invitation can let nobody in any more",
    }
}

impl From<LinkError> for JoinError {
    fn from(error: LinkError) -> Self {
        match error.is_misbehaviour() {
            true => Self::Protocol(error.to_string()),
            false => Self::Unreachable(error.to_string()),
        }
    }
}

/// Makes this node a member of the team that it is invited to.
pub(crate) async fn join(
    endpoint: &Endpoint,
    book: &TeamBook,
    invitation: Invitation,
    name: MemberName,
) -> Result<(), JoinError> {
    book.may_enter(&invitation.root)?;
    let came = Instant::now();
    let (operations, secret) = loop {
        match ask(endpoint, &invitation, name.clone()).await {
            Err(JoinError::Full { retry }) if came.elapsed() < TURN => {
                sleep(retry.max(PAUSE_MIN)).await;
            }
            told => break told?,
        }
    };
    let (book, root, team) = (book.clone(), invitation.root, invitation.team_name);
    let entered =
        tokio::task::spawn_blocking(move || book.enter_team(root, team, operations, secret));
    entered.await.expect("writing a file does not panic")?;
    Ok(())
}

/// Goes to the minter once.
async fn ask(
    endpoint: &Endpoint,
    invitation: &Invitation,
    name: MemberName,
) -> Result<Told, JoinError> {
    let traffic = endpoint.traffic().part();
    let dialled = dial::dial(
        endpoint,
        invitation.minter,
        &invitation.addresses,
        None,
        &traffic,
    )
    .await
    .map_err(|error| JoinError::Unreachable(error.to_string()))?;
    let conversation = converse(endpoint, dialled.link, invitation, name);
    timeout(CONVERSATION, conversation)
        .await
        .map_err(|_| JoinError::Unreachable("it does not answer".to_owned()))?
}

type Told = (Vec<SignedOperation>, Option<(u64, EpochSecret)>);

async fn converse(
    endpoint: &Endpoint,
    mut link: Link,
    invitation: &Invitation,
    name: MemberName,
) -> Result<Told, JoinError> {
    let nonce = greeting::nonce();
    greeting::say_hello(&mut link.writer, nonce, endpoint.agent(), List::empty()).await?;
    let hello = greeting::hear_hello(&mut link.reader).await?;
    let binding = Binding {
        client: endpoint.peer_key(),
        server: link.peer,
        nonce: hello.nonce,
    };
    let team = TeamId::of(invitation.root.as_bytes());
    let redemption = Redemption::new(&team, &invitation.secret.keypair(), &binding);
    link.writer.send(Redeem { redemption, name }, &[]).await?;
    link.writer.flush().await?;
    let expected = |kind| {
        matches!(
            kind,
            Kind::Welcome
                | Kind::NotWelcome
                | Kind::NotEntered
                | Kind::TeamOperations
                | Kind::TeamSecret
                | Kind::Ping
                | Kind::Bye
        )
    };
    let (mut operations, mut secret, mut bytes) = (Vec::new(), None, 0);
    loop {
        let (message, length) = link.reader.message(expected).await?;
        let mut payload = vec![0; length];
        link.reader.payload(&mut payload).await?;
        match message {
            Message::NotWelcome(no) => return Err(JoinError::NotWelcome(no.reason)),
            Message::NotEntered(NotEntered {
                reason: NotEnteredReason::Full { retry_ms },
            }) => {
                let retry = session::retry_in(retry_ms);
                return Err(JoinError::Full { retry });
            }
            Message::NotEntered(_) => {
                return Err(JoinError::NotWelcome(NotWelcomeReason::NotPermitted));
            }
            Message::TeamOperations(_) => {
                bytes += length;
                let batch = Batch::from_bytes(&payload);
                let batch = batch.map_err(|error| JoinError::Protocol(error.to_string()))?;
                if bytes > 2 * TEAM_BYTES_MAX {
                    return Err(JoinError::Protocol("more than a team can have".to_owned()));
                }
                operations.extend(batch.into_operations());
            }
            Message::TeamSecret(told) => secret = Some((told.epoch, told.secret)),
            Message::Bye(_) => return Ok((operations, secret)),
            _ => {}
        }
    }
}
