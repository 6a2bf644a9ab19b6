//! Letting in guests who have an invitation of this node's.
//!
//! Owns: who is welcome, admitting one who is, and what it is told. Refuses: to change
//! anything, or to write anything down, for one who is not: who has no invitation costs a look
//! at what is in memory.

use shoal_protocol::access::presentation::Binding;
use shoal_protocol::access::team::{
    Action, Batch, EpochSecret, Heads, MembershipProof, RedeemError, Standing,
};
use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::{NotWelcomeReason, Redeem};

use super::book::{Change, State, TeamBook};

/// What a guest is told.
pub(crate) enum Guest {
    Welcome {
        proof: MembershipProof,
        /// Batches of all operations, as they travel.
        operations: Vec<Vec<u8>>,
        secret: Option<(u64, EpochSecret)>,
    },
    NotWelcome(NotWelcomeReason),
}

/// How a guest is welcome.
enum Welcome {
    /// It is a member: its connection broke before it heard.
    Again,
    /// By the invitation at this place among those that are open.
    First(usize),
}

impl TeamBook {
    /// Whether a guest is welcome, as it stands. A look in memory.
    pub(crate) fn check_redemption(
        &self,
        asked: &Redeem,
        binding: &Binding,
    ) -> Result<(), NotWelcomeReason> {
        let examined = self.read(|state| self.examine(state, asked, binding));
        let examined = examined.unwrap_or(Err(NotWelcomeReason::NotPermitted));
        examined.map(|_| ())
    }

    /// Lets a guest in who redeems an invitation. Blocks.
    pub(crate) fn redeem(&self, asked: &Redeem, binding: &Binding) -> Guest {
        let told = self.read(|state| match self.examine(state, asked, binding) {
            Ok(Welcome::First(_)) => None,
            Ok(Welcome::Again) => Some(self.tell(state, &binding.client)),
            Err(reason) => Some(Guest::NotWelcome(reason)),
        });
        match told {
            None => Guest::NotWelcome(NotWelcomeReason::NotPermitted),
            Some(Some(guest)) => guest,
            Some(None) => self.admit(asked, binding),
        }
    }

    fn admit(&self, asked: &Redeem, binding: &Binding) -> Guest {
        let guest = binding.client;
        let admitted = self.change_team(|state| {
            // It may have come over two connections, and others with the same invitation.
            let place = match self.examine(state, asked, binding) {
                Ok(Welcome::First(place)) => place,
                Ok(Welcome::Again) => return Ok(Change::Nothing(self.tell(state, &guest))),
                Err(reason) => return Ok(Change::Nothing(Guest::NotWelcome(reason))),
            };
            let (invitation, now) = (&mut state.invitations[place], self.now_unix_s());
            let expires_unix_s = match invitation.redeem(now) {
                Ok(until) => until,
                Err(error) => return Ok(Change::Nothing(Guest::NotWelcome(why(error)))),
            };
            let name = match asked.name.as_str().is_empty() {
                true => invitation.name.clone(),
                false => asked.name.clone(),
            };
            let admission = Action::AdmitMember {
                node: guest,
                name,
                expires_unix_s,
            };
            let admission = state.team.sign(self.keypair(), now, admission);
            state.team.merge([admission]);
            Ok(match self.tell(state, &guest) {
                welcome @ Guest::Welcome { .. } => Change::Made(welcome),
                not_welcome @ Guest::NotWelcome(_) => Change::Nothing(not_welcome),
            })
        });
        admitted.unwrap_or_else(|error| {
            tracing::warn!(%error, "a guest cannot be let in");
            Guest::NotWelcome(NotWelcomeReason::NotPermitted)
        })
    }

    /// How the guest is welcome. Whoever has no invitation of this node's learns nothing.
    fn examine(
        &self,
        state: &State,
        asked: &Redeem,
        binding: &Binding,
    ) -> Result<Welcome, NotWelcomeReason> {
        let redemption = &asked.redemption;
        let place = (state.invitations.iter())
            .position(|record| record.invitation == redemption.invitation)
            .filter(|_| redemption.is_for(&state.team.id(), binding))
            .ok_or(NotWelcomeReason::NotPermitted)?;
        let (now, guest) = (self.now_unix_s(), &binding.client);
        let is_member = match state.team.standing(guest, now) {
            Standing::Revoked => return Err(NotWelcomeReason::Revoked),
            Standing::Member => !state.is_nearly_over(guest, now),
            Standing::Admin => true,
            Standing::Stranger => false,
        };
        if is_member {
            return Ok(Welcome::Again);
        }
        state.invitations[place].clone().redeem(now).map_err(why)?;
        match state.team.standing(&self.me(), now) {
            Standing::Admin => Ok(Welcome::First(place)),
            _ => Err(NotWelcomeReason::Unable),
        }
    }

    /// What a member is told; one that is none, that it cannot be let in.
    fn tell(&self, state: &State, member: &PeerKey) -> Guest {
        let is_in = state.is_member(member, self.now_unix_s());
        match state.team.proof_of(member).filter(|_| is_in) {
            Some(proof) => Guest::Welcome {
                proof,
                operations: (state.team.lacking(&Heads::default()).iter())
                    .map(Batch::to_bytes)
                    .collect(),
                secret: state.secret().cloned(),
            },
            None => Guest::NotWelcome(NotWelcomeReason::Unable),
        }
    }
}

fn why(error: RedeemError) -> NotWelcomeReason {
    match error {
        RedeemError::Expired { .. } => NotWelcomeReason::Expired,
        RedeemError::UsedUp => NotWelcomeReason::UsedUp,
    }
}
