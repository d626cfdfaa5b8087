//! Sends what is measured to an agent, as DogStatsD. Nothing is lost by an agent that is not there but the datagrams.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use operations::metrics::Datagrams;
use tokio::net::{UdpSocket, UnixDatagram};
use tracing::{info, warn};

use super::Measures;

/// Time between two sendings: as often as agents sum up.
const EVERY: Duration = Duration::from_secs(10);

/// Where the agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    /// At an address.
    Udp(SocketAddr),
    /// At a socket of this machine.
    Unix(PathBuf),
}

enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Agent {
    async fn connect(&self) -> std::io::Result<Socket> {
        match self {
            Self::Udp(to) => {
                let from: SocketAddr =
                    if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
                let socket = UdpSocket::bind(from).await?;
                socket.connect(to).await?;
                Ok(Socket::Udp(socket))
            }
            Self::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Ok(Socket::Unix(socket))
            }
        }
    }

    const fn datagrams(&self) -> Datagrams {
        match self {
            Self::Udp(_) => Datagrams::Udp,
            Self::Unix(_) => Datagrams::Unix,
        }
    }
}

/// Sends for ever. An agent that is started again is found again.
pub(crate) async fn send(agent: Agent, measures: Measures) {
    let mut told = false;
    loop {
        match once(&agent, &measures).await {
            Ok(()) if std::mem::take(&mut told) => info!("the metrics agent is there again"),
            Ok(()) => {}
            Err(error) if !std::mem::replace(&mut told, true) => {
                warn!(%error, "metrics cannot be sent to the agent at {agent:?}: {error}; tried again every {EVERY:?}");
            }
            Err(_) => {}
        }
        measures.clock.sleep(EVERY).await;
    }
}

async fn once(agent: &Agent, measures: &Measures) -> std::io::Result<()> {
    let socket = agent.connect().await?;
    for datagram in measures.collect().datagrams(agent.datagrams()) {
        match &socket {
            Socket::Udp(socket) => socket.send(datagram.as_bytes()).await?,
            Socket::Unix(socket) => socket.send(datagram.as_bytes()).await?,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::{Clock, Timestamp};
    use operations::{breakers::Breakers, health::Board};
    use testkit::virtual_clock::VirtualClock;

    use super::*;

    /// Over both ways the same lines come, under the names of the table.
    #[tokio::test]
    async fn an_agent_is_sent_what_is_measured() {
        let clock = VirtualClock::new(Timestamp::from_seconds(1));
        let time = || Arc::clone(&clock) as Arc<dyn Clock>;
        let measures = Measures {
            registry: Arc::default(),
            board: Arc::new(Board::new(time())),
            breakers: Arc::new(Breakers::new(time(), 1, &["orders"])),
            answers: Arc::default(),
            role: "worker",
            clock: time(),
            began: Duration::ZERO,
        };
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dsd.socket");
        let unix = UnixDatagram::bind(&path).unwrap();
        let mut heard = vec![0; 65_536];
        once(&Agent::Udp(udp.local_addr().unwrap()), &measures).await.unwrap();
        let length = udp.recv(&mut heard).await.unwrap();
        let over_udp = String::from_utf8(heard[..length].to_vec()).unwrap();
        once(&Agent::Unix(path), &measures).await.unwrap();
        let length = unix.recv(&mut heard).await.unwrap();
        let to_socket = String::from_utf8(heard[..length].to_vec()).unwrap();
        for told in [over_udp, to_socket] {
            assert!(told.lines().any(|line| line == "breaker.state:0|g|#name:orders"), "{told}");
            assert!(told.contains("process.uptime_seconds:0|g"), "{told}");
        }
        let gone = once(&Agent::Unix(directory.path().join("none")), &measures).await;
        assert!(gone.is_err());
    }
}
