//! A listener whose connections can be cut: at once, or after some more bytes of a reply.
//! Owns the sockets' misbehaviour; never decides when to misbehave.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

/// Handle of one connection, which its requests get by `ConnectInfo`.
#[derive(Clone, Debug)]
pub struct Connection {
    allowance: Arc<AtomicUsize>,
    peer: IpAddr,
}

impl Connection {
    /// Address of the client.
    pub const fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Lets `bytes` more bytes out; the write after them fails and closes the connection.
    pub fn cut_after(&self, bytes: usize) {
        self.allowance.store(bytes, Ordering::SeqCst);
    }
}

impl Connected<IncomingStream<'_, FaultyListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, FaultyListener>) -> Self {
        Self { allowance: Arc::clone(&stream.io().allowance), peer: stream.remote_addr().ip() }
    }
}

/// A TCP listener of [`FaultyStream`]s.
#[derive(Debug)]
pub struct FaultyListener(pub TcpListener);

impl Listener for FaultyListener {
    type Io = FaultyStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (FaultyStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // A refused option only costs speed.
        let _ = stream.set_nodelay(true);
        (FaultyStream { stream, allowance: Arc::new(AtomicUsize::new(usize::MAX)) }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A TCP stream that fails to write once its allowance is used up.
#[derive(Debug)]
pub struct FaultyStream {
    stream: TcpStream,
    allowance: Arc<AtomicUsize>,
}

impl AsyncRead for FaultyStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for FaultyStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let allowance = self.allowance.load(Ordering::SeqCst);
        if allowance == usize::MAX {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        let Some(part) = bytes.get(..allowance.min(bytes.len())).filter(|part| !part.is_empty()) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        let written = Pin::new(&mut self.stream).poll_write(cx, part);
        if let Poll::Ready(Ok(count)) = &written {
            self.allowance.store(allowance.saturating_sub(*count), Ordering::SeqCst);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
