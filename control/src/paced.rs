//! How fast connections are taken in.
//!
//! Owns: the rate. What comes faster waits with the kernel, which costs nobody a processor; each
//! that is taken in costs some, also where it is hung up on at once. Refuses: to look at who comes,
//! which is the doors' and the gate's.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::{Multiaddr, Transport};
use tokio::time::{Instant, Sleep, sleep};

/// So many connections are taken in
const TAKEN_MAX: u32 = 50;
/// within so long.
const WINDOW: Duration = Duration::from_millis(100);

/// A transport that takes in a bounded number of connections a second.
pub(super) struct Paced<T> {
    inner: T,
    /// Taken in since the window began,
    taken: u32,
    /// and when it is over; nothing before the first.
    over: Option<Pin<Box<Sleep>>>,
}

impl<T> Paced<T> {
    pub(super) fn new(inner: T) -> Self {
        Self {
            inner,
            taken: 0,
            over: None,
        }
    }

    fn take_in(&mut self) {
        let now = Instant::now();
        match &mut self.over {
            None => self.over = Some(Box::pin(sleep(WINDOW))),
            Some(over) if over.deadline() <= now => {
                over.as_mut().reset(now + WINDOW);
                self.taken = 0;
            }
            Some(_) => {}
        }
        self.taken += 1;
    }
}

impl<T: Transport + Unpin> Transport for Paced<T> {
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Self::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        if self.taken >= TAKEN_MAX
            && let Some(over) = &mut self.over
        {
            ready!(over.as_mut().poll(cx));
        }
        let event = ready!(Pin::new(&mut self.inner).poll(cx));
        if matches!(event, TransportEvent::Incoming { .. }) {
            self.take_in();
        }
        Poll::Ready(event)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, poll_fn, ready};
    use std::io;

    use super::*;

    /// Somebody comes whenever it is looked.
    struct Crowd;

    impl Transport for Crowd {
        type Output = ();
        type Error = io::Error;
        type ListenerUpgrade = Ready<io::Result<()>>;
        type Dial = Ready<io::Result<()>>;

        fn listen_on(
            &mut self,
            _: ListenerId,
            _: Multiaddr,
        ) -> Result<(), TransportError<io::Error>> {
            Ok(())
        }

        fn remove_listener(&mut self, _: ListenerId) -> bool {
            false
        }

        fn dial(
            &mut self,
            address: Multiaddr,
            _: DialOpts,
        ) -> Result<Self::Dial, TransportError<io::Error>> {
            Err(TransportError::MultiaddrNotSupported(address))
        }

        fn poll(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
            Poll::Ready(TransportEvent::Incoming {
                listener_id: ListenerId::next(),
                upgrade: ready(Ok(())),
                local_addr: Multiaddr::empty(),
                send_back_addr: Multiaddr::empty(),
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_taken_in_at_a_rate_and_goes_on_being_taken_in() {
        let mut paced = Paced::new(Crowd);
        let began = Instant::now();
        let all = async {
            for _ in 0..3 * TAKEN_MAX {
                poll_fn(|cx| Pin::new(&mut paced).poll(cx)).await;
            }
        };
        let in_time = tokio::time::timeout(10 * WINDOW, all).await;
        assert!(in_time.is_ok(), "nobody is taken in any more");
        let took = began.elapsed();
        assert!(took >= 2 * WINDOW && took < 3 * WINDOW, "{took:?}");
    }
}
