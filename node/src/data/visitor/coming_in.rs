//! How a connection is let in: by a grant, as a member, or as a guest with an invitation.
//!
//! Owns: what is read of a stranger, and what it is told. Refuses: what a grant opens (the
//! listener's [admission](crate::data::Admission)), and who is a member (the team's book).

use std::sync::atomic::Ordering;
use std::time::Duration;

use shoal_protocol::access::grant::Rights as GrantRights;
use shoal_protocol::access::presentation::Binding;
use shoal_protocol::access::{GrantError, PresentationError};
use shoal_protocol::bounded::Text;
use shoal_protocol::wire::{
    Bye, ByeReason, Enter, Entered, Features, Kind, Message, NotEntered, NotEnteredReason,
    NotWelcome, Pong, Present, Redeem, Refused, RefusedReason, TeamOperations, TeamSecret, Welcome,
};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Allowed, LetIn, LinkError, LinkReader, Payload, Visitor, now_unix_s};
use crate::data::redeeming;
use crate::team::{Entry, Guest};

/// A stranger may be mistaken about its grant so often.
const REFUSALS_MAX: usize = 3;
/// How long a guest that is welcome may take for all of it: as long as it waits itself.
const WELCOME: Duration = Duration::from_secs(30);

impl Visitor {
    /// Waits for a valid grant; false if none came. Nothing else is read from a stranger.
    pub(super) async fn come_in(
        &self,
        reader: &mut LinkReader,
        let_in: impl FnOnce(LetIn) -> bool,
    ) -> Result<bool, LinkError> {
        let expected = |kind| {
            matches!(
                kind,
                Kind::Present | Kind::Enter | Kind::Redeem | Kind::Ping | Kind::Pong | Kind::Bye
            )
        };
        let mut let_in = Some(let_in);
        for _ in 0..REFUSALS_MAX {
            let knock = loop {
                match reader.message(expected).await? {
                    (Message::Ping(ping), _) => self.outbox.mention(Pong { token: ping.token }),
                    (Message::Pong(_), _) => {}
                    (Message::Bye(_), _) => return Ok(false),
                    (knock, _) => break knock,
                }
            };
            let is_in = match &knock {
                Message::Present(present) => self.come_with_grant(present, &mut let_in),
                Message::Enter(enter) => self.come_as_member(enter, &mut let_in).await,
                Message::Redeem(redeem) => {
                    // The place that it has is given up with the rest.
                    let _ = timeout(WELCOME, self.welcome(redeem, &mut let_in)).await;
                    return Ok(false);
                }
                _ => None,
            };
            if let Some(is_in) = is_in {
                return Ok(is_in);
            }
        }
        Ok(false)
    }

    /// Whether a grant lets the peer in; nothing if it may try again.
    fn come_with_grant(
        &self,
        present: &Present,
        let_in: &mut Option<impl FnOnce(LetIn) -> bool>,
    ) -> Option<bool> {
        let allowed = match self.judge(present) {
            Ok(allowed) => allowed,
            Err(refused) => {
                self.outbox.say(refused);
                return None;
            }
        };
        if !let_in.take().is_some_and(|let_in| let_in(LetIn::Peer)) {
            // It has the right, and others may have room.
            if self.has(Features::NEIGHBOURS) {
                let crowd = self.house.endpoint.crowd();
                crowd.tell_of_others(allowed.snapshot.id(), &self.peer, &self.outbox);
            }
            let grant = present.presentation.grant.id();
            let reason = RefusedReason::Full { retry_ms: 5_000 };
            self.outbox.say(Refused { grant, reason });
            return Some(false);
        }
        self.admit(present, allowed);
        Some(true)
    }

    /// Whether the peer is let in as a member of this node's team; nothing if it may try
    /// again.
    async fn come_as_member(
        &self,
        enter: &Enter,
        let_in: &mut Option<impl FnOnce(LetIn) -> bool>,
    ) -> Option<bool> {
        let client_nonce = self.hello.get().expect("said first").nonce;
        let team = self.house.endpoint.team();
        match team.judge(enter, &self.binding(), client_nonce) {
            Entry::Closed(reason) => {
                self.outbox.say(NotEntered { reason });
                None
            }
            Entry::Open {
                tag,
                proof,
                revoked,
            } => {
                if !let_in.take().is_some_and(|let_in| let_in(LetIn::Peer)) {
                    let reason = NotEnteredReason::Full { retry_ms: 5_000 };
                    self.outbox.say(NotEntered { reason });
                    return Some(false);
                }
                self.member.set(revoked).expect("it enters once");
                self.admitted.store(true, Ordering::Release);
                self.outbox.say(Entered { tag, proof });
                Some(true)
            }
        }
    }

    /// Lets a guest in who has an invitation, and tells it all about the team.
    async fn welcome(&self, redeem: &Redeem, let_in: &mut Option<impl FnOnce(LetIn) -> bool>) {
        let (team, binding) = (self.house.endpoint.team().clone(), self.binding());
        if let Err(reason) = team.check_redemption(redeem, &binding) {
            return self.outbox.say(NotWelcome { reason });
        }
        let Some(place) = self.house.redeeming.enter(self.origin()) else {
            let retry_ms = redeeming::RETRY_MS;
            let reason = NotEnteredReason::Full { retry_ms };
            return self.outbox.say(NotEntered { reason });
        };
        // From here on it is no stranger, whose time would be too short to write and to tell all.
        let is_in = let_in.take().is_some_and(|let_in| let_in(LetIn::Guest));
        assert!(is_in, "guests have their places, and each is let in once");
        let redeem = redeem.clone();
        // What was begun is ended, also for one that has gone: the place goes with it.
        let guest = spawn_blocking(move || (team.redeem(&redeem, &binding), place)).await;
        let (guest, _place) = guest.expect("writing a file does not panic");
        let (proof, operations, secret) = match guest {
            Guest::NotWelcome(reason) => return self.outbox.say(NotWelcome { reason }),
            Guest::Welcome {
                proof,
                operations,
                secret,
            } => (proof, operations, secret),
        };
        self.outbox.say(Welcome { proof });
        let count = operations.len();
        for (number, batch) in operations.into_iter().enumerate() {
            let last = number + 1 == count;
            let sending = (self.outbox).send(TeamOperations { last }, Payload::Owned(batch));
            if sending.await.is_err() {
                return;
            }
        }
        if let Some((epoch, secret)) = secret {
            // A connection that is over needs no secret.
            let sending = (self.outbox).send(TeamSecret { epoch, secret }, Payload::Empty);
            let _ = sending.await;
        }
        let bye = Bye {
            reason: ByeReason::Done,
            detail: Text::cut(""),
        };
        // As above. It goes behind what was sent, unlike a word.
        let _ = self.outbox.send(bye, Payload::Empty).await;
        self.closing.cancelled().await;
    }

    fn binding(&self) -> Binding {
        Binding {
            client: self.peer,
            server: self.house.endpoint.peer_key(),
            nonce: self.nonce,
        }
    }

    /// Whether a presented grant opens anything here. What is wrong with a grant as such is
    /// told; whether the thing exists is not.
    pub(super) fn judge(&self, present: &Present) -> Result<Allowed, Refused> {
        let presentation = &present.presentation;
        let grant = presentation.grant.id();
        let refused = |reason| Refused { grant, reason };
        presentation
            .check(now_unix_s(), &self.binding())
            .map_err(|error| match error {
                PresentationError::Grant(GrantError::Expired { .. }) => {
                    refused(RefusedReason::Expired)
                }
                PresentationError::Grant(GrantError::NotYet { .. }) => {
                    refused(RefusedReason::NotYet)
                }
                PresentationError::Grant(GrantError::Signature) | PresentationError::Proof => {
                    refused(RefusedReason::NotPermitted)
                }
            })?;
        let not_permitted = refused(RefusedReason::NotPermitted);
        if !(presentation.grant.grant.rights).contains(GrantRights::READ) {
            return Err(not_permitted);
        }
        let admission = &self.house.admission;
        let allowed = match self.member.get() {
            Some(revoked) if self.grants_itself(present) => {
                admission.admit_member(&presentation.grant, revoked)
            }
            _ => admission.admit(&presentation.grant, self.peer),
        };
        match allowed {
            Some(allowed) if !allowed.revoked.is_cancelled() => Ok(allowed),
            _ if admission.remembers(&presentation.grant) => Err(refused(RefusedReason::NotNow)),
            _ => Err(not_permitted),
        }
    }

    /// Whether a grant is one that a member gave itself, to name what it wants to read.
    fn grants_itself(&self, present: &Present) -> bool {
        let grant = &present.presentation.grant.grant;
        grant.issuer == self.peer && grant.holder == self.peer
    }
}
