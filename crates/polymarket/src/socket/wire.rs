//! Websockets over TCP and TLS.

use async_trait::async_trait;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{
        Error, Message, Utf8Bytes,
        protocol::{CloseFrame, WebSocketConfig},
    },
};

use crate::{http::shorten, limits::MAX_FRAME, providers::host};

/// A connection that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketError {
    /// It could not be made.
    #[error("no connection: {0}")]
    Connect(String),
    /// It broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The other side closed it.
    #[error("closed by the other side: {0}")]
    Closed(String),
    /// More bytes than are read, or something else than text.
    #[error("not a frame that is read: {0}")]
    Frame(String),
}

/// What comes over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Text.
    Text(Utf8Bytes),
    /// A ping or pong of the protocol itself.
    Control,
}

/// Makes connections.
#[async_trait]
pub trait Connector: Send + Sync {
    /// A new connection to `url`.
    ///
    /// # Errors
    /// [`SocketError::Connect`].
    async fn connect(&self, url: &str) -> Result<Box<dyn Connection>, SocketError>;
}

/// An open connection.
#[async_trait]
pub trait Connection: Send {
    /// Sends a text frame.
    ///
    /// # Errors
    /// [`SocketError`].
    async fn send(&mut self, text: &str) -> Result<(), SocketError>;

    /// The next frame. Nothing is lost when the call is given up.
    ///
    /// # Errors
    /// [`SocketError`]; after one the connection is of no use.
    async fn receive(&mut self) -> Result<Frame, SocketError>;
}

/// The connector of the product: `ws` and `wss`, TLS with the system's roots, frames up to [`MAX_FRAME`].
#[derive(Clone, Copy, Debug, Default)]
pub struct WebSockets;

#[async_trait]
impl Connector for WebSockets {
    async fn connect(&self, url: &str) -> Result<Box<dyn Connection>, SocketError> {
        let config =
            WebSocketConfig::default().max_message_size(Some(MAX_FRAME)).max_frame_size(Some(MAX_FRAME));
        let connected = connect_async_with_config(url, Some(config), true).await;
        // A URL may hold a key.
        let said = |error: Error| error.to_string().replace(url, host(url));
        let (stream, _) = connected.map_err(|error| SocketError::Connect(shorten(&said(error))))?;
        Ok(Box::new(WebSocket(stream)))
    }
}

struct WebSocket(WebSocketStream<MaybeTlsStream<TcpStream>>);

#[async_trait]
impl Connection for WebSocket {
    async fn send(&mut self, text: &str) -> Result<(), SocketError> {
        self.0.send(Message::text(text)).await.map_err(|error| failure(&error))
    }

    async fn receive(&mut self) -> Result<Frame, SocketError> {
        match self.0.next().await {
            Some(Ok(Message::Text(text))) => Ok(Frame::Text(text)),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(Frame::Control),
            Some(Ok(Message::Close(frame))) => Err(SocketError::Closed(goodbye(frame.as_ref()))),
            Some(Ok(Message::Binary(bytes))) => {
                Err(SocketError::Frame(format!("{} bytes that are no text", bytes.len())))
            }
            Some(Ok(Message::Frame(_))) => Err(SocketError::Frame("a part of a frame".to_owned())),
            Some(Err(error)) => Err(failure(&error)),
            None => Err(SocketError::Closed("without a word".to_owned())),
        }
    }
}

fn goodbye(frame: Option<&CloseFrame>) -> String {
    frame.map_or_else(
        || "without a word".to_owned(),
        |frame| shorten(&format!("{} {}", frame.code, frame.reason)),
    )
}

fn failure(error: &Error) -> SocketError {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => SocketError::Closed("without a word".to_owned()),
        Error::Capacity(_) | Error::Utf8(_) | Error::Protocol(_) => {
            SocketError::Frame(shorten(&error.to_string()))
        }
        _ => SocketError::Broken(shorten(&error.to_string())),
    }
}
