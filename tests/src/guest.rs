//! A connection to the data plane of a node, made by hand.
//!
//! Owns: proving a key, saying hello, entering as a member and presenting a grant. Refuses: what
//! follows; whoever has the link says and reads over it what it likes.

use std::error::Error;
use std::net::SocketAddr;

use libp2p::identity::ed25519::Keypair;
use shoal_node::data::link::Link;
use shoal_node::data::tls::TlsIdentity;
use shoal_node::data::tls_stream::TlsStream;
use shoal_node::identity::Identity;
use shoal_protocol::access::presentation::Binding;
use shoal_protocol::access::team::Tag;
use shoal_protocol::access::{Nonce, Presentation, SignedGrant};
use shoal_protocol::bounded::List;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::{Enter, Features, Hello, Message, Present};
use tokio::net::TcpStream;

/// Why a connection ended.
pub type Ended = Box<dyn Error + Send + Sync>;

/// See the top of this file.
pub struct Guest {
    /// What is said from here on.
    pub link: Link,
    me: PeerKey,
    nonce: Nonce,
}

impl Guest {
    /// Connects to the node with the key `server` at this address, as `identity`.
    pub async fn connect(
        at: SocketAddr,
        server: PeerKey,
        identity: &Identity,
    ) -> Result<Self, Ended> {
        let tls = TlsIdentity::new(identity)?;
        let stream = TcpStream::connect(at).await?;
        let stream = TlsStream::connect(stream, tls.client(server)?).await?;
        let mut link = Link::new(stream.peer(), stream);
        let hello = Hello::new(Features::NONE, Nonce([1; 32]), "guest", List::empty());
        link.writer.send(hello, &[]).await?;
        link.writer.flush().await?;
        let (Message::Hello(hello), _) = link.reader.message(|_| true).await? else {
            return Err("no hello".into());
        };
        Ok(Self {
            link,
            me: identity.peer_key(),
            nonce: hello.nonce,
        })
    }

    /// Enters as a member of the team with this root key, whom the node knows as one.
    pub async fn enter(&mut self, root: &PeerKey) -> Result<(), Ended> {
        let tag = Tag::of_client(root, &self.binding());
        let enter = Enter { tag, proof: None };
        self.link.writer.send(enter, &[]).await?;
        self.link.writer.flush().await?;
        match self.hear().await? {
            Message::Entered(_) => Ok(()),
            other => Err(format!("it is not let in: {other:?}").into()),
        }
    }

    /// Presents a grant that `holder` holds. What is answered is not waited for.
    pub async fn present(&mut self, grant: &SignedGrant, holder: &Keypair) -> Result<(), Ended> {
        let presentation = Presentation::new(grant.clone(), holder, &self.binding());
        self.link.writer.send(Present { presentation }, &[]).await?;
        self.link.writer.flush().await?;
        Ok(())
    }

    /// The next message, without its payload.
    pub async fn hear(&mut self) -> Result<Message, Ended> {
        let (message, length) = self.link.reader.message(|_| true).await?;
        self.link.reader.payload(&mut vec![0; length]).await?;
        Ok(message)
    }

    fn binding(&self) -> Binding {
        Binding {
            client: self.me,
            server: self.link.peer,
            nonce: self.nonce,
        }
    }
}
