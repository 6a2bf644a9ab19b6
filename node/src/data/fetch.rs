//! Fetches a whole snapshot: carries out what the fetch machine decides.
//!
//! Owns: the loop between the plan (what the destination still needs), the sessions (who
//! sends it) and the disk (who verifies and writes it); checkpoints. Refuses: to choose.
//!
//! Bytes never come through here: they go from a session to a disk writer, and this loop
//! sees positions. A session waits for a free buffer before it reads on, so a slow disk
//! slows the socket, and at most eight frames are between them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use shoal_protocol::fetch::{
    ChunkEnds, DropReason, Fetch, FetchConfig, Input, Output, Run, RunId, State, Waiting,
};
use shoal_protocol::have::RangeSet;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::size::Size;
use shoal_protocol::wire::{Base, ByeReason, RequestId};
use shoal_store::receive::{Receive, ReceiveError};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::bases::Bases;
use super::checkpoints::Checkpoints;
use super::disk_writers::{DiskWriters, Job, Verdict};
use super::hub::Hub;
use super::plan::{Need, Plan};
use super::session::{RunReplies, RunReply, Session, Wish};
use super::{FetchError, FetchEvent};
use crate::until::until;

/// What nobody has is asked for again after so long: a file may be back in its place.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// Fewer bytes than this are no sign of progress.
const HEARD_BYTES_MIN: u64 = 16 << 10;

/// Fetches everything that `receive` wants.
pub(crate) async fn fetch(hub: &Arc<Hub>, receive: Arc<Receive>) -> Result<(), FetchError> {
    let snapshot = *receive.snapshot();
    let (verdict_sender, mut verdicts) = mpsc::unbounded_channel();
    let store = hub.endpoint.store();
    let writers = DiskWriters::start(&receive, store, snapshot, &verdict_sender);
    drop(verdict_sender);
    let mut plan = Plan::begin(hub, &receive);
    let (replies, mut incoming) = mpsc::unbounded_channel();
    let mut fetcher = Fetcher {
        hub: Arc::clone(hub),
        machine: Fetch::new(FetchConfig {
            seed: rand::random(),
            me: Some(hub.endpoint.peer_key()),
            ..FetchConfig::default()
        }),
        sessions: HashMap::new(),
        runs: BTreeMap::new(),
        answers: HashMap::new(),
        bases: Bases::default(),
        spoilt: HashSet::new(),
        replies,
        written_since_checkpoint: 0,
        ask_again: None,
    };
    let mut changes = hub.changes();
    let mut checkpoints = Checkpoints::new(&receive);
    let ended = loop {
        tokio::select! {
            Some((peer, request, reply)) = incoming.recv() => {
                fetcher.take_reply(peer, request, reply, &writers);
            }
            Some(verdict) = verdicts.recv() => {
                if let Err(error) = fetcher.take_verdict(verdict) {
                    break Err(error);
                }
            }
            need = plan.needs.recv(), if fetcher.machine.wants_runs() => match need {
                Some(Ok(Need::Run(run, likenesses))) => {
                    fetcher.bases.add(likenesses);
                    fetcher.want(run, receive.chunk_ends(run.start));
                }
                Some(Ok(Need::NoMore)) => fetcher.handle(Input::NoMoreRuns),
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            },
            changed = changes.changed() => {
                changed.expect("the hub has the sender");
                fetcher.meet_peers();
                fetcher.take_landed();
                if fetcher.sessions.is_empty() && let Some(why) = hub.hopeless() {
                    break Err(why);
                }
            }
            () = fetcher.alarm() => fetcher.wake(),
            () = until(fetcher.ask_again) => fetcher.ask_again_for_all(),
            recorded = checkpoints.next(fetcher.written_since_checkpoint, hub.has_listeners()) => match recorded {
                None => {
                    checkpoints.begin(std::mem::take(&mut fetcher.written_since_checkpoint));
                }
                Some(Ok(())) => hub.tell(FetchEvent::Checkpoint),
                Some(Err(error)) => break Err(error.into()),
            },
            error = hub.out_of_patience() => break Err(error),
        }
        let run_done = fetcher.carry_out();
        hub.strand(fetcher.machine.stranded());
        if run_done {
            plan.go_on.notify_one();
        }
    };
    drop(plan);
    fetcher.abandon();
    writers.finish().await;
    let recorded = match ended {
        Ok(()) => checkpoints.wait().await,
        Err(_) => checkpoints.last().await,
    };
    ended.and(recorded.map_err(FetchError::from))
}

/// The fetch machine and what it is fed from.
struct Fetcher {
    hub: Arc<Hub>,
    machine: Fetch,
    sessions: HashMap<PeerKey, Known>,
    /// Runs that are not done, by their beginning.
    runs: BTreeMap<u64, Run>,
    /// Answers with bytes that are being written.
    answers: HashMap<(PeerKey, RequestId), Answer>,
    bases: Bases,
    /// Answers of which something could not be turned back, through nobody's fault.
    spoilt: HashSet<(PeerKey, RequestId)>,
    replies: RunReplies,
    written_since_checkpoint: u64,
    /// When to ask again for what nobody had.
    ask_again: Option<Instant>,
}

struct Known {
    session: Arc<Session>,
    offered: RangeSet,
    /// How often the offer had changed by then.
    changes: u64,
    heard_bytes: u64,
}

impl Known {
    /// What the source offers now, if it is something else. Sets may be large: those that were
    /// not told anew are not looked at.
    fn news(&mut self) -> Option<RangeSet> {
        let (offered, changes) = self.session.offered_since(self.changes)?;
        self.changes = changes;
        if offered == self.offered {
            return None;
        }
        self.offered = offered.clone();
        Some(offered)
    }
}

#[derive(Default)]
struct Answer {
    writing: usize,
    /// What the machine is told once everything is written.
    end: Option<Input>,
}

impl Fetcher {
    fn handle(&mut self, input: Input) {
        self.machine.handle(std::time::Instant::now(), input);
    }

    fn want(&mut self, run: Run, ends: ChunkEnds) {
        self.runs.insert(run.start, run);
        self.handle(Input::WantedChunks(run, ends));
    }

    /// Compares the sessions that there are with those that the machine knows.
    fn meet_peers(&mut self) {
        let open = self.hub.sessions();
        let same = |peer: &PeerKey, known: &Known| {
            open.get(peer)
                .is_some_and(|session| Arc::ptr_eq(session, &known.session))
        };
        let gone: Vec<_> = self
            .sessions
            .iter()
            .filter(|(peer, known)| !same(peer, known))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in gone {
            self.sessions.remove(&peer);
            self.handle(Input::PeerLeft { peer });
        }
        for (peer, session) in open {
            match self.sessions.get_mut(&peer).map(Known::news) {
                Some(None) => {}
                Some(Some(offered)) => self.handle(Input::PeerOffers { peer, offered }),
                None => self.meet(session),
            }
        }
    }

    fn meet(&mut self, session: Arc<Session>) {
        let (peer, (offered, changes)) = (session.peer, session.offered_now());
        let (distance, time) = (session.distance, session.round_trip);
        let heard_bytes = session.run_bytes_received();
        let is_seed = offered.contains_range(0..session.snapshot.bytes);
        self.sessions.insert(
            peer,
            Known {
                session,
                offered: offered.clone(),
                changes,
                heard_bytes,
            },
        );
        self.handle(Input::PeerJoined {
            peer,
            distance,
            offered,
            is_seed,
        });
        self.handle(Input::RoundTrip { peer, time });
    }

    /// Tells the machine what came by other ways.
    fn take_landed(&mut self) {
        for (peer, range) in self.hub.take_landed() {
            self.written_since_checkpoint += range.end - range.start;
            self.handle(Input::Delivered { peer, range });
        }
    }

    fn take_reply(
        &mut self,
        peer: PeerKey,
        request: RequestId,
        reply: RunReply,
        writers: &DiskWriters,
    ) {
        let end = match reply {
            RunReply::Data(frame) => {
                self.answers.entry((peer, request)).or_default().writing += 1;
                return writers.write(Job {
                    peer,
                    request,
                    frame,
                });
            }
            RunReply::Ended(_) => Input::Ended { peer, request },
            RunReply::Busy(retry) => Input::Busy {
                peer,
                request,
                retry,
            },
            // The machine hears that the peer left.
            RunReply::Lost => return,
        };
        match self.answers.get_mut(&(peer, request)) {
            // It must hear of the bytes before it hears that no more come.
            Some(answer) if answer.writing > 0 => answer.end = Some(end),
            _ => self.tell_end(end),
        }
    }

    /// Tells the machine of the end of an answer.
    fn tell_end(&mut self, end: Input) {
        match end {
            Input::Ended { peer, request } if self.spoilt.remove(&(peer, request)) => {
                self.handle(Input::Spoilt { peer, request });
            }
            end => self.handle(end),
        }
    }

    fn take_verdict(&mut self, verdict: Verdict) -> Result<(), FetchError> {
        let Verdict { peer, request, .. } = verdict;
        for range in verdict.good {
            self.hub.progressed();
            self.written_since_checkpoint += range.end - range.start;
            self.handle(Input::Delivered { peer, range });
        }
        for range in verdict.bad {
            let position = range.start;
            self.hub.tell(FetchEvent::BadChunk { peer, position });
            let why = format!("{peer}: the chunk at position {position} failed verification");
            self.hub.failed(why);
            self.handle(Input::BadChunk { peer, range });
        }
        if verdict.lost_base {
            tracing::debug!(%peer, "an earlier version is not here any more");
            self.bases.give_up();
            self.spoilt.insert((peer, request));
        }
        if let Some(error) = verdict.out_of_step
            && self.is_wanted(&error)
        {
            self.leave(peer, ByeReason::Protocol, &error.to_string());
        }
        if let Some(answer) = self.answers.get_mut(&(peer, request)) {
            answer.writing -= 1;
            if answer.writing == 0
                && let Some(answer) = self.answers.remove(&(peer, request))
                && let Some(end) = answer.end
            {
                self.tell_end(end);
            }
        }
        verdict.failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Whether bytes that the destination does not take belong to a run that it waits for:
    /// else the run was done in the meantime, and nobody is to blame.
    fn is_wanted(&self, error: &ReceiveError) -> bool {
        let (ReceiveError::Unrequested { position } | ReceiveError::WrongLength { position, .. }) =
            error
        else {
            return false;
        };
        let before = self.runs.range(..=position).next_back();
        before.is_some_and(|(_, run)| run.range().contains(position))
    }

    fn leave(&self, peer: PeerKey, reason: ByeReason, why: &str) {
        if let Some(known) = self.sessions.get(&peer) {
            known.session.drop_for(reason, why);
        }
    }

    async fn alarm(&self) {
        until(self.machine.next_timeout().map(Instant::from_std)).await;
    }

    /// Takes every source at its word once more.
    fn ask_again_for_all(&mut self) {
        self.ask_again = None;
        let offers: Vec<_> = (self.sessions.iter())
            .map(|(peer, known)| (*peer, known.session.offered()))
            .collect();
        for (peer, offered) in offers {
            self.handle(Input::PeerOffers { peer, offered });
        }
    }

    /// Tells the machine the time, after whom was heard since: who sends a frame slowly is
    /// not silent. Whatever else comes from a source says nothing about what it was asked for.
    fn wake(&mut self) {
        let mut heard = Vec::new();
        for (peer, known) in &mut self.sessions {
            let bytes = known.session.run_bytes_received();
            if bytes >= known.heard_bytes + HEARD_BYTES_MIN {
                known.heard_bytes = bytes;
                heard.push(*peer);
            }
        }
        for peer in heard {
            self.hub.progressed();
            self.handle(Input::Heard { peer });
        }
        self.handle(Input::Timeout);
    }

    /// Does what the machine decided; true if a run was done.
    fn carry_out(&mut self) -> bool {
        let mut done = false;
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Request {
                    peer,
                    request,
                    ranges,
                    urgent,
                    run,
                } => {
                    if let Some(known) = self.sessions.get(&peer) {
                        let wish = Wish {
                            priority: u8::from(urgent),
                            bases: self.bases_of(run, &ranges),
                        };
                        let replies = self.replies.clone();
                        known.session.ask_run(request, ranges, wish, replies);
                    }
                }
                Output::Cancel { peer, request } => {
                    if let Some(known) = self.sessions.get(&peer) {
                        known.session.cancel_run(request);
                    }
                }
                Output::Drop { peer, why } => match why {
                    DropReason::BadChunks => {
                        let why = "it sent bytes that are not what was asked for";
                        self.leave(peer, ByeReason::BadData, why);
                    }
                    DropReason::TooMany => {
                        if let Some(known) = self.sessions.get(&peer) {
                            known.session.leave(ByeReason::TooMany, "");
                        }
                    }
                },
                Output::RunDone(id) => {
                    if let Some(range) = self.run(id).map(Run::range) {
                        self.runs.remove(&range.start);
                        self.bases.forget(range);
                    }
                    done = true;
                }
                Output::State(State::Fetching) => self.hub.tell(FetchEvent::Fetching),
                Output::State(State::Waiting(what)) => {
                    let again = Instant::now() + ASK_AGAIN;
                    match what {
                        Waiting::Offer { bytes } => {
                            self.ask_again = Some(again);
                            let why = format!("no source has the last {} (any more)", Size(bytes));
                            self.hub.failed(why);
                        }
                        // Whoever else was asked may have had a reason of the moment.
                        Waiting::SilentPeer { .. } => {
                            self.ask_again.get_or_insert(again);
                        }
                        Waiting::Peer | Waiting::IntactCopy { .. } | Waiting::BusyPeer { .. } => {}
                    }
                    self.hub.tell(FetchEvent::Waiting(what));
                }
                Output::State(State::Idle) => {}
            }
        }
        done
    }

    fn run(&self, id: RunId) -> Option<&Run> {
        self.runs.values().find(|run| run.id == id)
    }

    fn bases_of(&self, run: RunId, ranges: &RangeSet) -> Vec<Base> {
        let run = self.run(run);
        run.map_or_else(Vec::new, |run| self.bases.of(run.start, ranges))
    }

    /// Takes back what is still asked for.
    fn abandon(&mut self) {
        for known in self.sessions.values() {
            known.session.cancel_all_runs();
        }
    }
}
