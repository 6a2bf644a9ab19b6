//! Knowing where things stand in what the team may read.
//!
//! Owns: keeping the list of places up to date, and whose snapshots it is made of. Refuses: to
//! list what came here under any other audience than the team's.

use std::sync::Arc;

use shoal_protocol::advert::{LOCATED_PLACES_MAX, Locate, Located};
use shoal_protocol::bounded::List;
use shoal_store::index::{AudienceId, View};
use shoal_store::places::Places;
use shoal_store::progress::Progress;
use shoal_store::{Store, StoreError};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::TIDY_EVERY;
use crate::team::TeamBook;

/// The places of a node, and the right to be told of them. Clones are the same places.
#[derive(Clone)]
pub(super) struct Placing {
    store: Store,
    team: TeamBook,
    places: Arc<Places>,
    /// Something is new.
    pub(super) new: Arc<Notify>,
}

impl Placing {
    /// Opens the list. Blocks.
    pub(super) fn open(store: Store, team: TeamBook) -> Result<Self, StoreError> {
        Ok(Self {
            places: Arc::new(Places::open(&store)?),
            new: Arc::default(),
            store,
            team,
        })
    }

    /// Lists what is new, and forgets what is gone: when it is told so, and now and then.
    pub(super) async fn keep_up(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let (this, until) = (self.clone(), Until(stop.clone()));
            let listed = spawn_blocking(move || {
                let view = this.store.view();
                let of_team = |audience| this.is_the_teams(&view, audience);
                this.places.refresh(&this.store, &of_team, &until)
            });
            if let Ok(Err(error)) = listed.await {
                tracing::warn!(%error, "it cannot be listed where chunks stand");
            }
            tokio::select! {
                () = self.new.notified() => {}
                () = tokio::time::sleep(TIDY_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Where a member may read what it asks for. Blocks.
    pub(super) fn answer(&self, question: &Locate) -> Result<Located, StoreError> {
        let view = self.store.view();
        let places = self.places.locate(
            &self.store,
            &question.sought,
            &|row| self.is_the_teams(&view, row.audience),
            LOCATED_PLACES_MAX,
        )?;
        Ok(Located {
            places: List::new(places).expect("no more than were asked for"),
        })
    }

    fn is_the_teams(&self, view: &View, audience: AudienceId) -> bool {
        let team = self.team.root();
        team.is_some() && view.audience_peer(audience) == team
    }
}

/// Lists until the node stops.
struct Until(CancellationToken);

impl Progress for Until {
    fn cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}
