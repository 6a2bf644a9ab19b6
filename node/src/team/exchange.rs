//! How two members bring each other up to date.
//!
//! Owns: one question and one answer, the same on whatever carries them: what the asker has,
//! and what of the answerer's it lacks. Asked in both directions, or twice with the answer to
//! the answer, both know the same. Refuses: to answer those who show no membership.

use bincode::{Decode, Encode};
use shoal_protocol::access::team::{
    BATCH_BYTES_MAX, Batch, EpochSecret, HEADS_MAX, Heads, MembershipProof, Standing,
    TEAM_BYTES_MAX,
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
        Self::of(book, None, false, 0).map(|said| codec::encode(&said))
    }

    /// With as many batches of what the other lacks as fit into `bytes_max`.
    fn of(
        book: &TeamBook,
        theirs: Option<&Heads>,
        with_secret: bool,
        bytes_max: usize,
    ) -> Option<Self> {
        let me = book.me();
        let secret = with_secret.then(|| book.secret()).flatten();
        book.with_team(|team| {
            let lacking = theirs
                .map(|theirs| team.lacking(theirs))
                .unwrap_or_default();
            let heads = team.heads().to_bytes();
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
    /// Nothing for one who shows no membership. Blocks.
    pub(crate) fn answer(
        book: &TeamBook,
        peer: &PeerKey,
        said: &[u8],
        bytes_max: usize,
    ) -> Result<Option<Answer>, TeamError> {
        let Ok(said) = codec::decode::<Self, EXCHANGE_BYTES_MAX>(said) else {
            return Ok(None);
        };
        let now = book.now_unix_s();
        let proven = book.with_team(|team| {
            let standing = team.check_proof(&said.proof, peer, now);
            matches!(standing, Ok(Standing::Member | Standing::Admin))
        });
        if proven != Some(true) {
            return Ok(None);
        }
        let batches = said.batches.iter().map(|bytes| Batch::from_bytes(bytes));
        let Ok(batches) = batches.collect::<Result<Vec<_>, _>>() else {
            return Ok(None);
        };
        let operations = batches.into_iter().flat_map(Batch::into_operations);
        book.merge(operations.collect())?;
        if let Some((number, secret)) = said.secret {
            book.learn_secret(number, secret)?;
        }
        let Ok(heads) = Heads::from_bytes(&said.heads) else {
            return Ok(None);
        };
        // Only now: what it said may have revoked it.
        let answer = Self::of(book, Some(&heads), book.is_member(peer), bytes_max);
        Ok(answer.map(|answer| Answer {
            brings: !answer.batches.is_empty(),
            bytes: codec::encode(&answer),
        }))
    }
}
