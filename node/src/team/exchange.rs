//! How two members bring each other up to date.
//!
//! Owns: one question and one answer, the same on whatever carries them: what the asker has,
//! and what of the answerer's it lacks. Asked in both directions, or twice with the answer to
//! the answer, both know the same. Refuses: to answer those who show no membership; who was
//! revoked is told that it was, and nothing more.

use bincode::{Decode, Encode};
use shoal_protocol::access::team::{
    BATCH_BYTES_MAX, Batch, EpochSecret, HEADS_MAX, Heads, MembershipProof, ProofError,
    SignedOperation, Standing, TEAM_BYTES_MAX,
};
use shoal_protocol::bounded::List;
use shoal_protocol::codec;
use shoal_protocol::peer::PeerKey;

use super::book::{TeamBook, TeamError};

/// Batches in one message: all that a team can have.
const BATCHES_MAX: usize = TEAM_BYTES_MAX / BATCH_BYTES_MAX + 1;
/// The longest message.
const EXCHANGE_BYTES_MAX: usize = TEAM_BYTES_MAX + (HEADS_MAX * 32) + (64 << 10);
/// What a message has besides batches: a proof, a secret, and lengths.
const REST_BYTES: usize = 8 << 10;

/// What to say next.
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    /// Whether it has anything that the other lacks.
    brings: bool,
}

impl Answer {
    /// Whether to go on with it after `said`: it has anything for the other, and is not the
    /// same once more. Then both refuse what they were told: there is no room, say.
    pub(crate) fn goes_on(&self, said: &[u8]) -> bool {
        self.brings && self.bytes != said
    }
}

/// What one says to the other.
#[derive(Debug, Clone, Encode, Decode)]
pub(crate) struct Exchange {
    /// That the sender is a member.
    proof: MembershipProof,
    /// What the sender has.
    heads: Vec<u8>,
    /// What the receiver lacks, as far as the sender knows.
    batches: List<Vec<u8>, BATCHES_MAX>,
    /// The discovery secret of the epoch in force, for one who was a member before.
    secret: Option<(u64, EpochSecret)>,
}

impl Exchange {
    /// What this node says first: what it has.
    pub(crate) fn first(book: &TeamBook) -> Option<Vec<u8>> {
        let said = book.with_team(|team| {
            Some(Self {
                proof: team.proof_of(&book.me())?,
                heads: team.heads().to_bytes(),
                batches: List::empty(),
                secret: None,
            })
        });
        said.flatten().map(|said| codec::encode(&said))
    }

    /// What `peer`, which has `theirs`, is answered, with as many batches of what it lacks as
    /// fit into `bytes_max`.
    fn to(book: &TeamBook, peer: &PeerKey, theirs: &Heads, bytes_max: usize) -> Option<Self> {
        let (me, is_in) = (book.me(), book.is_member(peer));
        let secret = book.secret().filter(|_| is_in);
        book.with_team(|team| {
            let (lacking, heads) = match is_in {
                true => (team.lacking(theirs), team.heads().to_bytes()),
                // It is asked for nothing.
                false => (team.parting(peer, theirs), theirs.to_bytes()),
            };
            let mut room = bytes_max.saturating_sub(heads.len() + REST_BYTES);
            let fits = |batch: &Vec<u8>| {
                let left = room.checked_sub(batch.len() + 8);
                room = left.unwrap_or(room);
                left.is_some()
            };
            // One without operations stands for nothing, and would be answered for ever.
            let some = lacking.iter().filter(|batch| batch.count() > 0);
            let batches = some.map(Batch::to_bytes).take_while(fits);
            let batches = batches.take(BATCHES_MAX).collect();
            Some(Self {
                proof: team.proof_of(&me)?,
                heads,
                batches: List::new(batches).expect("taken to fit"),
                secret,
            })
        })
        .flatten()
    }

    /// Takes in what `peer` said, and gives the answer, of at most `bytes_max`: what it lacks.
    /// Nothing for one who shows no membership; nothing is taken in of one who was revoked.
    /// Blocks.
    pub(crate) fn answer(
        book: &TeamBook,
        peer: &PeerKey,
        said: &[u8],
        bytes_max: usize,
    ) -> Result<Option<Answer>, TeamError> {
        let Ok(said) = codec::decode::<Self, EXCHANGE_BYTES_MAX>(said) else {
            return Ok(None);
        };
        let (Ok(heads), Some(operations)) = (Heads::from_bytes(&said.heads), said.operations())
        else {
            return Ok(None);
        };
        let now = book.now_unix_s();
        match book.with_team(|team| team.check_proof(&said.proof, peer, now)) {
            Some(Ok(Standing::Member | Standing::Admin)) => {
                book.merge(operations)?;
                if let Some((number, secret)) = said.secret {
                    book.learn_secret(number, secret)?;
                }
            }
            Some(Err(ProofError::Revoked)) => {}
            _ => return Ok(None),
        }
        // Only now: what it said may have revoked it.
        let answer = Self::to(book, peer, &heads, bytes_max);
        Ok(answer.map(|answer| Answer {
            brings: !answer.batches.is_empty(),
            bytes: codec::encode(&answer),
        }))
    }

    /// What the receiver lacks; nothing if that is not what it should be.
    fn operations(&self) -> Option<Vec<SignedOperation>> {
        let batches = self.batches.iter().map(|bytes| Batch::from_bytes(bytes));
        let batches = batches.collect::<Result<Vec<_>, _>>().ok()?;
        let operations = batches.into_iter().flat_map(Batch::into_operations);
        Some(operations.collect())
    }
}
