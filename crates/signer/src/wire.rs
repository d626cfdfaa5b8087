//! What goes over the socket between a signer's process and its client: frames of JSON behind their length. Keys travel
//! sealed only.

use std::io;

use domain::{Address, KeyRef};
use engine::ports::{
    secrets::SealedKey,
    venue::{SignRequest, Signature, SignerError},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{
    keeper::KeeperError,
    limits::LONGEST_FRAME,
    spending::{Caps, Standing},
    vault::KeyUse,
};

/// A question.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Call {
    /// What is stored of how keys are opened; `None` for the first vault. Keys follow as [`Call::Take`].
    Open(Option<String>),
    /// Keys that are stored.
    Take(Vec<SealedKey>),
    Forget(KeyRef),
    Sign(Vec<SignRequest>),
    Address(KeyRef),
    PublicKey,
    AddressOf(Vec<u8>),
    Seal(Vec<u8>, KeyUse),
    Arm(KeyRef, Caps),
    Disarm(KeyRef),
    Standing(KeyRef),
}

/// Its answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Done,
    Text(String),
    Address(Result<Address, SignerError>),
    Sealed(Box<SealedKey>),
    Standing(Standing),
    /// Signatures in hex.
    Signed(Vec<Result<String, SignerError>>),
    /// This process has started and was not told of any keys yet.
    NotOpen,
    Failed(KeeperError),
}

/// A signature as it travels.
pub(crate) fn written(signature: Signature) -> String {
    hex::encode(signature.0)
}

/// A signature that came.
pub(crate) fn signature(text: &str) -> Option<Signature> {
    let mut bytes = [0; 65];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(Signature(bytes))
}

/// Writes one frame.
pub(crate) async fn write(to: &mut (impl AsyncWrite + Unpin), what: &impl Serialize) -> io::Result<()> {
    let body = serde_json::to_vec(what)?;
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= LONGEST_FRAME);
    let length = length.ok_or_else(|| io::Error::other(format!("a frame of {} bytes", body.len())))?;
    let mut frame = Vec::with_capacity(body.len().saturating_add(4));
    frame.extend(length.to_be_bytes());
    frame.extend(body);
    to.write_all(&frame).await?;
    to.flush().await
}

/// Reads the length of a frame; `None` when the other side has gone away between two.
pub(crate) async fn length(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<usize>> {
    let mut bytes = [0; 4];
    match from.read_exact(&mut bytes).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX);
    if length > LONGEST_FRAME {
        return Err(io::Error::other(format!(
            "a frame of {length} bytes, at most {LONGEST_FRAME} are taken"
        )));
    }
    Ok(Some(length))
}

/// Reads the rest of a frame.
pub(crate) async fn body<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
    length: usize,
) -> io::Result<T> {
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await?;
    // What serde says could quote what was sent.
    serde_json::from_slice(&bytes).map_err(|_| io::Error::other("a frame that cannot be understood"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn read(bytes: &[u8]) -> io::Result<Option<Call>> {
        let mut from = bytes;
        match length(&mut from).await? {
            Some(length) => body(&mut from, length).await.map(Some),
            None => Ok(None),
        }
    }

    #[tokio::test]
    async fn frames_come_back_and_what_is_none_is_refused() {
        let mut bytes = Vec::new();
        write(&mut bytes, &Call::Address(KeyRef("a".to_owned()))).await.unwrap();
        assert!(matches!(read(&bytes).await, Ok(Some(Call::Address(key))) if key.0 == "a"));
        assert!(matches!(read(&[]).await, Ok(None)));
        for at in 4..bytes.len() {
            assert!(read(&bytes[..at]).await.is_err(), "{at} bytes");
        }
        let most = u32::try_from(LONGEST_FRAME).unwrap();
        assert!(read(&(most + 1).to_be_bytes()).await.unwrap_err().to_string().contains("at most"));
        assert!(write(&mut Vec::new(), &Call::AddressOf(vec![7; LONGEST_FRAME])).await.is_err());
        let signed = Signature([9; 65]);
        assert_eq!(signature(&written(signed)), Some(signed));
        assert_eq!(signature("09"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut frame = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
            frame.extend(&bytes);
            prop_assert!(runtime.block_on(read(&frame)).is_err());
        }
    }
}
