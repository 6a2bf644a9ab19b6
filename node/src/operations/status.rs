//! `status`: what the node is, does and worries about.

use shoal_store::progress::Silent;

use super::source::holders;
use crate::api::{ApiError, ControlStatus, Risk, Status, TeamInfo, TeamStatus};
use crate::node::{Node, blocking};
use crate::versions::{self, History};
use shoal_control::ControlTraffic;

impl Node {
    /// What the node is and does.
    pub async fn status(&self) -> Result<Status, ApiError> {
        let (wire_in, wire_out) = self.plane().wire();
        let listening = self.plane().listening().await;
        let hello = self.hello();
        let finding = self.found().await;
        let team = self.team_info().await.ok();
        let peers = self.peers().await?;
        let connected = peers.iter().filter(|peer| peer.connected);
        Ok(Status {
            peer: hello.peer,
            home: self.home().to_owned(),
            daemon: hello.daemon,
            pid: hello.pid,
            version: hello.version,
            uptime_s: self.started().elapsed().as_secs(),
            listening: listening.iter().map(ToString::to_string).collect(),
            store: self.usage().await?,
            shares: self.shares().list(),
            activities: self.activities().now(),
            at_risk: self.at_risk().await?,
            peers_connected: u32::try_from(connected.count()).unwrap_or(u32::MAX),
            wire_in,
            wire_out,
            team: team.map(|TeamInfo { name, role, .. }| TeamStatus { name, role }),
            control: finding.as_ref().map(|finding| control(finding.traffic())),
            advertising: finding.and_then(|finding| finding.advertising()),
        })
    }

    /// Versions whose only bytes are in files that anybody may change, or gone.
    async fn at_risk(&self) -> Result<Vec<Risk>, ApiError> {
        let (store, node) = (self.store()?, self.clone());
        blocking(move || {
            let view = store.view();
            let histories = History::all(&view)?;
            let mut risks = Vec::new();
            for report in store.history_at_risk(&Silent)? {
                risks.push(Risk {
                    snapshot: report.snapshot,
                    names: versions::names_of(&histories, &report.snapshot),
                    bytes_volatile: report.bytes_volatile,
                    bytes_lost: report.bytes_changed + report.bytes_gone,
                    held_by: holders(&node, &view, &report.snapshot)?,
                });
            }
            // What is lost comes before what may be.
            risks.sort_by_key(|risk| std::cmp::Reverse((risk.bytes_lost, risk.bytes_volatile)));
            Ok::<_, ApiError>(risks)
        })
        .await
    }
}

fn control(traffic: ControlTraffic) -> ControlStatus {
    let ControlTraffic {
        bytes_in,
        bytes_out,
        requests_in,
        requests_out,
        dht_requests_in,
        dht_requests_out,
    } = traffic;
    ControlStatus {
        bytes_in,
        bytes_out,
        requests_in,
        requests_out,
        dht_requests_in,
        dht_requests_out,
    }
}
