//! Membership, shown to a node that has not heard of it yet.
//!
//! Owns: the one or two operations that lead from the root to a node, and checking them
//! without the rest. Refuses: to overrule what the checking node knows: a revocation that it
//! has heard of holds against every proof.

use bincode::{Decode, Encode};

use super::action::Action;
use super::operation::{Operation, SignedOperation};
use super::ruling::{Standing, Until};
use super::state::Team;
use crate::bounded::List;
use crate::peer::PeerKey;

/// The most operations in a proof: an admin's naming, and that admin's admission of a member.
pub const PROOF_OPERATIONS_MAX: usize = 2;

/// The operations that let a node in: an admission by the root or a naming, alone, or the
/// naming of an admin and an admission by that admin.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MembershipProof {
    operations: List<SignedOperation, PROOF_OPERATIONS_MAX>,
}

/// Why a proof shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It is about another team.
    #[error("the proof is about another team")]
    OtherTeam,
    /// An operation in it is not signed by its author.
    #[error("the proof is not signed by those whom it names")]
    Signature,
    /// It does not lead from the root to the node.
    #[error("the proof does not lead from the team's root to this node")]
    LeadsNowhere,
    /// The node is known to be revoked.
    #[error("this node was revoked")]
    Revoked,
    /// The admin is known to be revoked, and the admission is not known to be one of those
    /// that go on counting.
    #[error("the admin who admitted this node was revoked")]
    AdminRevoked,
    /// The admin is known to have said two things with one sequence, before it or with it.
    #[error("the admin who admitted this node has a copied key")]
    AdminForked,
    /// The admission is over.
    #[error("the admission of this node ended {ago_s} s ago")]
    Expired {
        /// Seconds since its end, by the clock that was given.
        ago_s: u64,
    },
}

impl Team {
    /// The proof that `node` was let in, if it was; whether it is over or revoked is for those
    /// who check it.
    pub fn proof_of(&self, node: &PeerKey) -> Option<MembershipProof> {
        let naming = self.record(node)?.naming()?;
        let last = self.operation(&naming.operation)?;
        let by = last.operation.author;
        let mut operations = Vec::new();
        if by != self.root() {
            let naming = self.record(&by)?.naming()?;
            operations.push(self.operation(&naming.operation)?.clone());
        }
        operations.push(last.clone());
        let operations = List::new(operations).expect("one or two");
        Some(MembershipProof { operations })
    }

    /// What `proof` makes of `node`, or what is known of it here if that is more: a member or
    /// an admin. Nothing is merged; who is let in sends its operations afterwards.
    pub fn check_proof(
        &self,
        proof: &MembershipProof,
        node: &PeerKey,
        now_unix_s: u64,
    ) -> Result<Standing, ProofError> {
        match self.standing(node, now_unix_s) {
            Standing::Revoked => return Err(ProofError::Revoked),
            standing @ (Standing::Member | Standing::Admin) => return Ok(standing),
            Standing::Stranger => {}
        }
        let said: Vec<&Operation> = proof.operations.iter().map(|s| &s.operation).collect();
        if said.iter().any(|operation| operation.team != self.id()) {
            return Err(ProofError::OtherTeam);
        }
        let root = self.root();
        match said[..] {
            [naming] if naming.author == root => match &naming.action {
                Action::NameAdmin { node: named, .. } if named == node => {
                    proof.check_signatures()?;
                    Ok(Standing::Admin)
                }
                _ => proof.check_admission(naming, node, now_unix_s),
            },
            [naming, admission] if naming.author == root => match &naming.action {
                Action::NameAdmin { node: admin, .. } if *admin == admission.author => {
                    self.check_admin(admin, admission, now_unix_s)?;
                    proof.check_admission(admission, node, now_unix_s)
                }
                _ => Err(ProofError::LeadsNowhere),
            },
            _ => Err(ProofError::LeadsNowhere),
        }
    }

    /// Whether the admin's admission may count. One that is kept and counts was found before.
    fn check_admin(
        &self,
        admin: &PeerKey,
        admission: &Operation,
        now_unix_s: u64,
    ) -> Result<(), ProofError> {
        if self.standing(admin, now_unix_s) == Standing::Revoked {
            return Err(ProofError::AdminRevoked);
        }
        match self.forked_at(admin) {
            Some(fork) if admission.sequence >= fork => Err(ProofError::AdminForked),
            _ => Ok(()),
        }
    }
}

impl MembershipProof {
    fn check_admission(
        &self,
        admission: &Operation,
        node: &PeerKey,
        now_unix_s: u64,
    ) -> Result<Standing, ProofError> {
        let end = match &admission.action {
            Action::AdmitMember {
                node: admitted,
                expires_unix_s,
                ..
            } if admitted == node => *expires_unix_s,
            _ => return Err(ProofError::LeadsNowhere),
        };
        self.check_signatures()?;
        match end {
            Some(end) if Until::At(end).is_over(now_unix_s) => Err(ProofError::Expired {
                ago_s: now_unix_s - end,
            }),
            _ => Ok(Standing::Member),
        }
    }

    fn check_signatures(&self) -> Result<(), ProofError> {
        let all = self.operations.iter().all(SignedOperation::is_signed);
        all.then_some(()).ok_or(ProofError::Signature)
    }
}
