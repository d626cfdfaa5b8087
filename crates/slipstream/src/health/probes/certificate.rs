//! The certificate that is served under this installation's own name: until when it is good. What is served counts, not what
//! lies in a file: a renewed one that nobody has loaded helps nobody.

use std::{
    net::{TcpStream, ToSocketAddrs as _},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use async_trait::async_trait;
use domain::{Clock, Timestamp};
use operations::{
    certificate::{Left, Validity},
    health::{Check, Kind, Probe, Reading, Weight},
};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// How long a connection, and each step of its beginning, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at what is served at a host.
pub(super) struct CertificateProbe {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait]
impl Probe for CertificateProbe {
    fn checks(&self) -> &[Check] {
        const {
            &[Check {
                component: "certificates",
                measurement: "left",
                kind: Kind::Component,
                unit: "days",
                weight: Weight::Minor,
            }]
        }
    }

    fn every(&self) -> Duration {
        Duration::from_secs(300)
    }

    fn within(&self) -> Duration {
        Duration::from_secs(30)
    }

    async fn look(&self) -> Vec<Vec<Reading>> {
        let (host, port) = (self.host.clone(), self.port);
        let served = tokio::task::spawn_blocking(move || served(&host, port)).await;
        let reading = match served {
            Ok(Ok(validity)) => judged(&validity, self.clock.now()),
            Ok(Err(error)) => Reading::unknown(format!("{error:#}")),
            Err(_) => Reading::unknown("it could not be looked at"),
        };
        vec![vec![reading.of(self.host.clone())]]
    }
}

fn judged(validity: &Validity, now: Timestamp) -> Reading {
    let days = |left: Duration| Some(left.as_secs_f64() / 86_400.0);
    let until = validity.until;
    match validity.left(now) {
        Left::Enough(left) => Reading::pass(days(left)),
        Left::Little(left) => {
            Reading::warn(days(left), format!("good until {until}: has its renewal failed?"))
        }
        Left::Urgent(left) => {
            Reading::fail(days(left), format!("good until {until}: renew it now, and load it"))
        }
        Left::None => Reading::fail(Some(0.0), format!("good from {} until {until}: not now", validity.from)),
    }
}

/// Shakes hands, whatever the certificate is worth: one that has ended is to be seen, too. Nothing is said afterwards.
fn served(host: &str, port: u16) -> anyhow::Result<Validity> {
    let addresses = (host, port).to_socket_addrs().with_context(|| format!("{host} is not found"))?;
    let address = addresses.into_iter().next().with_context(|| format!("{host} has no address"))?;
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("{host}:{port} is not reached"))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from(host.to_owned()).with_context(|| format!("{host} is no name"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let mut connection = ClientConnection::new(Arc::new(config), name)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).with_context(|| format!("{host}:{port} speaks no TLS"))?;
    }
    let leaf = connection.peer_certificates().and_then(<[_]>::first).context("no certificate was shown")?;
    Ok(Validity::of(leaf)?)
}

/// Believes everybody: dates are read of whoever answers, and nothing is told to them.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use operations::health::Status;

    use super::*;

    #[test]
    fn what_is_left_decides() {
        let day = |day: i64| Timestamp::from_seconds(day * 86_400);
        let validity = Validity { from: day(0), until: day(90) };
        let at = |now| judged(&validity, day(now)).status;
        assert_eq!([at(1), at(61), at(88), at(91)], [Status::Pass, Status::Warn, Status::Fail, Status::Fail]);
    }

    #[test]
    fn who_speaks_no_tls_is_unknown_in_words() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        });
        let refused = format!("{:#}", served("127.0.0.1", port).unwrap_err());
        assert!(refused.contains("speaks no TLS"), "{refused}");
        answers.join().unwrap();
    }
}
