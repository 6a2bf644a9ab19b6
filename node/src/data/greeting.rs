//! The first words on a connection.

use shoal_protocol::access::{Address, Nonce};
use shoal_protocol::bounded::List;
use shoal_protocol::wire::limits::LISTEN_ADDRESSES_MAX;
use shoal_protocol::wire::{Features, Hello, Kind, Message};

use super::link::{LinkError, LinkReader, LinkWriter};

/// What this node can do beyond the obligatory.
pub(crate) const FEATURES: Features = Features::HAVE_UPDATES
    .and(Features::NEIGHBOURS)
    .and(Features::ZSTD)
    .and(Features::ZSTD_WITH_BASE)
    .and(Features::TEAM);

/// A fresh nonce, for the other side to sign.
pub(crate) fn nonce() -> Nonce {
    Nonce(rand::random())
}

/// Says hello.
pub(crate) async fn say_hello(
    writer: &mut LinkWriter,
    nonce: Nonce,
    agent: &str,
    listen: List<Address, LISTEN_ADDRESSES_MAX>,
) -> Result<(), LinkError> {
    writer
        .send(Hello::new(FEATURES, nonce, agent, listen), &[])
        .await?;
    writer.flush().await
}

/// Waits for the other side's hello, which must be its first message.
pub(crate) async fn hear_hello(reader: &mut LinkReader) -> Result<Hello, LinkError> {
    match reader.message(|kind| kind == Kind::Hello).await? {
        (Message::Hello(hello), _) => Ok(hello),
        (other, _) => Err(LinkError::Unexpected(other.kind())),
    }
}
