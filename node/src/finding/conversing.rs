//! Conversations with other members, in which both come to know the same.
//!
//! Owns: one at a time with each, since a connection carries few; beginning again one that broke
//! off, and connecting anew after one where that is wanted. Refuses: when to have them
//! ([`contact`](super::contact)), and what is said (`team::exchange`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shoal_protocol::peer::PeerKey;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::{Shared, key_of};
use crate::team::{Exchange, TeamBook};
use shoal_control::{ControlHandle, Multiaddr, PeerId, Protocol, RequestError};

/// Questions and answers in one conversation; a team of the greatest size takes fewer.
const ROUNDS_MAX: usize = 64;
/// How soon one that broke off begins again, on average, since the other end may have begun one
/// at the same time; doubles.
const AGAIN: Duration = Duration::from_millis(100);
/// How often one is begun at most: for three seconds. Who is busy longer is met again.
const BEGINNINGS_MAX: u32 = 6;

/// Whom to talk with.
#[derive(Debug, Default)]
pub(super) struct Wish {
    /// Where it may be reached, if it is not connected.
    pub(super) addresses: Vec<Multiaddr>,
    /// Whether to connect anew once both know of each other: one was a stranger to the other.
    pub(super) reconnect: bool,
}

/// What is wished of one with whom a conversation goes on.
#[derive(Debug, Default)]
struct Wished {
    /// All that was wished and did not come true yet.
    wish: Wish,
    /// Whether something was, for which no conversation has begun: what is new here may have come
    /// too late for the one that goes on.
    is_new: bool,
}

/// See the top of this file. Clones share their conversations.
#[derive(Clone)]
pub(super) struct Conversations {
    handle: ControlHandle,
    team: TeamBook,
    stop: CancellationToken,
    /// Those with whom one goes on.
    open: Arc<Mutex<HashMap<PeerId, Wished>>>,
}

impl Conversations {
    pub(super) fn new(shared: &Shared) -> Self {
        Self {
            handle: shared.handle.clone(),
            team: shared.team.clone(),
            stop: shared.stop.clone(),
            open: Arc::default(),
        }
    }

    /// Talks with `peer`, after the conversation that goes on if there is one.
    pub(super) fn begin(&self, peer: PeerId, wish: Wish) {
        let mut open = self.lock();
        let goes_on = open.contains_key(&peer);
        let wished = open.entry(peer).or_default();
        wished.is_new = true;
        wished.wish.reconnect |= wish.reconnect;
        if !wish.addresses.is_empty() {
            wished.wish.addresses = wish.addresses;
        }
        if goes_on {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = this.talk(peer) => {}
                () = this.stop.cancelled() => {}
            }
        });
    }

    async fn talk(&self, peer: PeerId) {
        let Self { handle, team, .. } = self;
        while let Some(addresses) = self.next(peer) {
            let met = self.converse(peer, &addresses).await;
            let is_member = met.is_some_and(|key| team.is_in() && team.is_member(&key));
            if is_member && let Some(addresses) = self.take_reconnection(peer) {
                handle.membership_changed().await;
                handle.reconnect(peer, addresses).await;
            }
        }
    }

    /// Where to find `peer` for a conversation, if one is wished; none goes on otherwise.
    fn next(&self, peer: PeerId) -> Option<Vec<Multiaddr>> {
        let mut open = self.lock();
        let wished = open.get_mut(&peer)?;
        if !std::mem::take(&mut wished.is_new) {
            open.remove(&peer);
            return None;
        }
        Some(wished.wish.addresses.clone())
    }

    /// Where to find `peer` when it is to be connected with anew, which is wished no more then.
    fn take_reconnection(&self, peer: PeerId) -> Option<Vec<Multiaddr>> {
        let mut open = self.lock();
        let wish = &mut open.get_mut(&peer)?.wish;
        std::mem::take(&mut wish.reconnect).then(|| wish.addresses.clone())
    }

    /// Converses, however often that takes. Gives who it was, if it took part.
    async fn converse(&self, peer: PeerId, addresses: &[Multiaddr]) -> Option<PeerKey> {
        let Self { handle, team, .. } = self;
        for beginning in 1..=BEGINNINGS_MAX {
            let error = match converse(handle, team, peer, addresses).await {
                Ok(met) => return met,
                Err(error) => error,
            };
            tracing::debug!(%peer, %error, "a conversation broke off");
            let may_succeed = matches!(
                error,
                RequestError::Broken { .. } | RequestError::Busy { .. } | RequestError::TooMany
            );
            if !may_succeed || beginning == BEGINNINGS_MAX {
                break;
            }
            let pause = AGAIN * (1 << (beginning - 1));
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Wished>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks and answers until both know the same. Gives who it was, if it took part; the error of
/// the request that was not answered.
pub(super) async fn converse(
    handle: &ControlHandle,
    team: &TeamBook,
    peer: PeerId,
    addresses: &[Multiaddr],
) -> Result<Option<PeerKey>, RequestError> {
    let (Some(key), Some(mut said)) = (key_of(&peer), Exchange::first(team)) else {
        return Ok(None);
    };
    for _ in 0..ROUNDS_MAX {
        let answer = handle
            .admit(peer, addresses.to_vec(), said.clone().into())
            .await?;
        let (book, most) = (team.clone(), Protocol::Admit.request_bytes_max());
        let next = spawn_blocking(move || Exchange::answer(&book, &key, &answer, most));
        match next.await {
            Ok(Ok(Some(next))) if next.goes_on(&said) => said = next.bytes,
            Ok(Ok(Some(_))) => break,
            Ok(Ok(None)) => {
                tracing::debug!(%peer, "it is no member of the team");
                return Ok(None);
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "what is new of the team is not taken in");
                return Ok(None);
            }
            // The runtime ends, or a panic was reported.
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(key))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use tokio::sync::broadcast::Receiver;
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use tokio::sync::oneshot;

    use super::super::answering::Members;
    use super::*;
    use crate::team::TestHome;
    use shoal_control::{ControlConfig, ControlEvent, ControlPlane, Refusal, Requests};

    /// A question that waits to be answered: as the team's book says, or not now.
    type Asked = oneshot::Sender<bool>;

    /// Answers what the test wants answered.
    struct Answers {
        team: TeamBook,
        asked: UnboundedSender<Asked>,
    }

    impl Requests for Answers {
        fn handle(
            &self,
            peer: PeerId,
            _: Protocol,
            request: Bytes,
        ) -> BoxFuture<'static, Result<Bytes, Refusal>> {
            let (team, (asked, answer)) = (self.team.clone(), oneshot::channel());
            self.asked.send(asked).unwrap();
            async move {
                if !answer.await.unwrap() {
                    return Err(Refusal::Busy);
                }
                let answer = Exchange::answer(&team, &key_of(&peer).unwrap(), &request, 1 << 20);
                Ok(answer.unwrap().unwrap().bytes.into())
            }
            .boxed()
        }
    }

    fn start(home: &TestHome) -> (ControlHandle, UnboundedReceiver<Asked>) {
        let (asked, questions) = unbounded_channel();
        let team = home.book.clone();
        let mut config = ControlConfig::new([7; 32]);
        config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        let members = Arc::new(Members(team.clone()));
        let answers = Arc::new(Answers { team, asked });
        let plane = ControlPlane::start(home.identity.keypair(), config, members, answers);
        (plane.unwrap(), questions)
    }

    /// Two members, of whom the first talks with the second, whose questions the test has, and
    /// which does not know the first yet.
    struct Pair {
        _homes: [TestHome; 3],
        conversations: Conversations,
        other: ControlHandle,
        address: Multiaddr,
        questions: UnboundedReceiver<Asked>,
    }

    impl Pair {
        async fn new() -> Self {
            let (alice, bob, carol) = (TestHome::founder(), TestHome::new(), TestHome::new());
            bob.join(&alice);
            carol.join(&alice);
            let (handle, _) = start(&carol);
            let (other, questions) = start(&bob);
            let mut events = other.events();
            let address = match other.listen_addresses().await.pop() {
                Some(address) => address,
                None => loop {
                    if let ControlEvent::Listening { address } = events.recv().await.unwrap() {
                        break address;
                    }
                },
            };
            let conversations = Conversations {
                handle,
                team: carol.book.clone(),
                stop: CancellationToken::new(),
                open: Arc::default(),
            };
            Self {
                _homes: [alice, bob, carol],
                conversations,
                other,
                address,
                questions,
            }
        }

        fn begin(&self, reconnect: bool) {
            let addresses = vec![self.address.clone()];
            let wish = Wish {
                addresses,
                reconnect,
            };
            self.conversations.begin(self.other.local_peer(), wish);
        }

        /// The next question, which comes within a minute.
        async fn asked(&mut self) -> Asked {
            let asked = tokio::time::timeout(Duration::from_secs(60), self.questions.recv());
            asked.await.unwrap().unwrap()
        }

        async fn answer(&mut self, may: bool) {
            self.asked().await.send(may).unwrap();
        }
    }

    /// Waits for an event, a minute.
    async fn happens(events: &mut Receiver<ControlEvent>, wanted: ControlEvent) {
        let search = async { while events.recv().await.unwrap() != wanted {} };
        let search = tokio::time::timeout(Duration::from_secs(60), search);
        assert!(search.await.is_ok(), "in vain: {wanted:?}");
    }

    #[tokio::test]
    async fn one_that_breaks_off_begins_again_and_the_two_connect_anew() {
        let mut pair = Pair::new().await;
        let handle = pair.conversations.handle.clone();
        let (mut events, peer) = (handle.events(), pair.other.local_peer());
        handle.dial(pair.address.clone()).await.unwrap();
        happens(&mut events, ControlEvent::NotAdmitted { peer }).await;
        pair.begin(true);
        for _ in 0..3 {
            pair.answer(false).await;
        }
        pair.answer(true).await;
        happens(&mut events, ControlEvent::Disconnected { peer }).await;
        happens(&mut events, ControlEvent::Connected { peer }).await;
    }

    #[tokio::test]
    async fn a_wish_to_connect_anew_outlives_a_conversation_that_comes_to_nothing() {
        let mut pair = Pair::new().await;
        let handle = pair.conversations.handle.clone();
        let (mut events, peer) = (handle.events(), pair.other.local_peer());
        handle.dial(pair.address.clone()).await.unwrap();
        happens(&mut events, ControlEvent::NotAdmitted { peer }).await;
        pair.begin(true);
        for beginning in 1..=BEGINNINGS_MAX {
            let asked = pair.asked().await;
            if beginning == BEGINNINGS_MAX {
                pair.begin(false);
            }
            asked.send(false).unwrap();
        }
        pair.answer(true).await;
        happens(&mut events, ControlEvent::Disconnected { peer }).await;
        happens(&mut events, ControlEvent::Connected { peer }).await;
    }

    #[tokio::test]
    async fn one_at_a_time_goes_on_with_each_and_what_is_wished_meanwhile_is_one_more() {
        let mut pair = Pair::new().await;
        pair.begin(false);
        let first = pair.asked().await;
        for _ in 0..5 {
            pair.begin(false);
        }
        assert!(pair.questions.try_recv().is_err());
        first.send(true).unwrap();
        let second = pair.asked().await;
        assert_eq!(pair.conversations.lock().len(), 1);
        second.send(true).unwrap();
        while !pair.conversations.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(pair.questions.try_recv().is_err());
    }
}
