//! Finding where something stands that is not looked for by its snapshot.
//!
//! Owns: whom to ask (who advertises it, and who is connected anyhow), each once. Refuses: to
//! believe the answers: whoever reads at a place verifies what comes.

use std::collections::HashSet;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use shoal_protocol::advert::{LOCATE_IDS_MAX, Locate, Located, Place, Sought, Subject};
use shoal_protocol::bounded::List;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::Neighbour;
use tokio::sync::mpsc;

use super::{Finding, Searched, Until, discovery, key_of};
use shoal_control::Protocol;

/// Members who are asked because they are connected: what is new may not be advertised yet.
const CONNECTED_MAX: usize = 16;
/// The most members who are asked in all.
const ASKED_MAX: usize = 64;

/// Where a member says that something stands.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    /// Who says so.
    pub(crate) at: Neighbour,
    /// Where in its snapshots; the index is that of what was sought.
    pub(crate) place: Place,
}

impl Finding {
    /// Tells `found` of each place where a member says that one of `sought` (at most
    /// [`LOCATE_IDS_MAX`]) stands, as the answers come. Ends when everybody has answered who is
    /// worth asking, or is silent.
    pub(crate) async fn locate(
        &self,
        sought: &[Sought],
        mut found: impl FnMut(Standing),
    ) -> Searched {
        let asked = sought.iter().take(LOCATE_IDS_MAX).copied().collect();
        let question = &Locate {
            sought: List::new(asked).expect("taken to fit"),
        };
        let subjects = self.most_advertised_first(sought);
        let (told, mut named) = mpsc::unbounded_channel();
        let search = async move {
            let tell = |sighting: super::Sighting| {
                // Whoever waits for this has gone then.
                let _ = told.send(sighting.neighbour);
            };
            self.search(&subjects, Until::Found, tell).await
        };
        tokio::pin!(search);
        let mut searched = None;
        let mut asked = HashSet::new();
        let mut answers = FuturesUnordered::new();
        let connected = self.handle.peers().await;
        let connected = connected.iter().filter_map(|peer| key_of(&peer.peer));
        for peer in connected.take(CONNECTED_MAX) {
            asked.insert(peer);
            let addresses = List::empty();
            answers.push(self.ask_where(Neighbour { peer, addresses }, question));
        }
        loop {
            tokio::select! {
                ended = &mut search, if searched.is_none() => searched = Some(ended),
                Some(member) = named.recv() => {
                    if asked.len() < ASKED_MAX && asked.insert(member.peer) {
                        answers.push(self.ask_where(member, question));
                    }
                }
                Some((at, located)) = answers.next() => {
                    for place in located.places.iter().copied() {
                        found(Standing { at: at.clone(), place });
                    }
                }
                else => break,
            }
        }
        searched.expect("the search has ended")
    }

    /// A search takes up so many only: lists are advertised before chunks, and of chunks those
    /// with the lowest keys.
    fn most_advertised_first(&self, sought: &[Sought]) -> Vec<Subject> {
        let mut subjects: Vec<_> = sought.iter().copied().map(subject).collect();
        if let Some((_, key)) = discovery(&self.team) {
            let is_chunk = |subject: &Subject| matches!(subject, Subject::Chunk(_));
            subjects.sort_by_cached_key(|subject| (is_chunk(subject), key.key(*subject)));
        }
        subjects
    }

    /// Asks one member; who does not answer knows no place.
    async fn ask_where(&self, member: Neighbour, question: &Locate) -> (Neighbour, Located) {
        let located = self.try_asking(&member.peer, question).await;
        (member, located.unwrap_or_default())
    }

    async fn try_asking(&self, peer: &PeerKey, question: &Locate) -> Option<Located> {
        let said = question.to_bytes().into();
        let answer = self.handle.request(peer.peer_id()?, Protocol::Locate, said);
        Located::from_bytes(&answer.await.ok()?, question).ok()
    }
}

fn subject(sought: Sought) -> Subject {
    match sought {
        Sought::Chunk(id) => Subject::Chunk(id),
        Sought::Content(id) => Subject::Content(id),
    }
}
