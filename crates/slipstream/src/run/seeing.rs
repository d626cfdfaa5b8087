//! What a running process shows of itself: probes look, a server tells, an agent is sent. Started with everything else, ended
//! when it is dropped.

use std::sync::Arc;

use engine::ports::{queue::Queue, store::Store, venue::VenueClock};
use operations::{flags::Flags, ports::OperatorWords};
use tokio::{net::TcpListener, task::JoinSet};

use super::Run;
use crate::{
    breakers::VenueBreakers,
    commands::Witnesses,
    health::{
        self, Health,
        probes::{Watched, Watching},
    },
    measuring::{self, Agent, FiringNow, Measures},
    operations_desk::OperationsDesk,
    place::Servers,
    runtime::{Role, Runtime},
};

/// Who is asked, and what stops entries.
pub(super) struct Asked {
    pub(super) queue: Arc<dyn Queue>,
    pub(super) venue: Arc<dyn VenueClock>,
    pub(super) breakers: VenueBreakers,
    pub(super) flags: Arc<Flags>,
}

/// At work until it is dropped.
pub(super) struct Seeing {
    /// What commands are answered from.
    pub(super) desk: OperationsDesk,
    _watching: Watching,
    _tasks: JoinSet<()>,
}

impl Run<'_> {
    /// Begins to look, and to tell whoever asks.
    pub(super) fn see(
        &self,
        runtime: &Runtime,
        asked: Asked,
        witnesses: &Witnesses,
        listening: Option<(TcpListener, Option<[u8; 32]>)>,
    ) -> anyhow::Result<Seeing> {
        let Asked { queue, venue, breakers, flags } = asked;
        let servers = self.place.servers.as_ref();
        let answers = witnesses.answers.clone().unwrap_or_default();
        let watching = Watching::begin(Watched {
            clock: Arc::clone(&self.clock),
            store: Arc::clone(self.store),
            database: servers.map(Servers::database).transpose()?,
            queue,
            shared: servers.is_some(),
            venue,
            answers: Arc::clone(&answers),
            providers: witnesses.providers.clone(),
            sources: runtime.sources(),
            skew: runtime.clock_watch(),
            served_at: self.configuration.run.public_url.as_deref().and_then(served_at),
            data_dir: self.place.data_dir.clone(),
            hanging: Arc::new(runtime.stuck()),
        });
        let board = Arc::clone(&watching.board);
        let measures = Measures {
            registry: Arc::default(),
            board: Arc::clone(&board),
            breakers: Arc::clone(&breakers.0),
            answers,
            role: self.role.name(),
            began: self.clock.uptime(),
            clock: Arc::clone(&self.clock),
        };
        let mut tasks = JoinSet::new();
        if matches!(self.role, Role::All | Role::Backend) {
            let store = Arc::clone(self.store) as Arc<dyn Store>;
            let registry = Arc::clone(&measures.registry);
            tasks.spawn(measuring::follow(store, Arc::clone(&self.clock), registry));
        }
        let words = || Arc::clone(self.store) as Arc<dyn OperatorWords>;
        let firing = FiringNow::default();
        tasks.spawn(measuring::read_flags(words(), Arc::clone(&self.clock), flags));
        tasks.spawn(measuring::evaluate(words(), measures.clone(), firing.clone()));
        for agent in self.agents() {
            tasks.spawn(measuring::send(agent, measures.clone()));
        }
        if let Some((listener, token)) = listening {
            let (role, process) = (self.role.name(), self.process.0.clone());
            let health = Health { role, process, hanging: Arc::new(runtime.stuck()), board, token };
            tasks.spawn(health::serve(listener, health::routes(health, Some(measures))));
        }
        let desk = OperationsDesk { board: Arc::clone(&watching.board), breakers, firing };
        Ok(Seeing { desk, _watching: watching, _tasks: tasks })
    }

    fn agents(&self) -> Vec<Agent> {
        let run = &self.configuration.run;
        let udp = run.statsd_address.map(Agent::Udp);
        udp.into_iter().chain(run.statsd_socket.clone().map(Agent::Unix)).collect()
    }
}

/// Host and port of an origin that speaks TLS.
fn served_at(origin: &str) -> Option<(String, u16)> {
    let authority = origin.strip_prefix("https://")?;
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => Some((host.to_owned(), port.parse().ok()?)),
        _ => Some((authority.to_owned(), 443)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_speaks_tls_has_a_certificate() {
        let at = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(served_at("https://copy.example"), at("copy.example", 443));
        assert_eq!(served_at("https://copy.example:8443"), at("copy.example", 8_443));
        assert_eq!(served_at("http://127.0.0.1:9010"), None);
    }
}
