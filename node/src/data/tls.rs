//! TLS 1.3 in which both ends are known by their PeerId.
//!
//! Owns: the two configurations and the verifiers. A certificate is libp2p's: self-signed
//! by a throw-away key, with the Ed25519 identity vouching for that key in an extension
//! (libp2p specs, "TLS handshake"). Refuses: certificate authorities, names, session
//! tickets, early data, key logs, anything below TLS 1.3.
//!
//! `libp2p_tls::make_*_config` is not used, because it puts ChaCha20 before AES, writes a
//! key log where the environment asks for one, and speaks libp2p's ALPN.

use std::sync::Arc;

use libp2p_identity::PeerId;
use libp2p_tls::certificate;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, NoKeyLog,
    ServerConfig, SignatureScheme,
};
use shoal_protocol::peer::{PeerKey, libp2p_keypair};
use shoal_protocol::wire::limits::ALPN;

use crate::identity::Identity;

/// libp2p certificates are signed with P-256 here; other implementations may choose others.
const SCHEMES: [SignatureScheme; 3] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ED25519,
];

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a TLS certificate: {0}")]
pub struct TlsSetupError(String);

/// What a node needs to make and to accept connections: one certificate, made at start.
#[derive(Clone)]
pub struct TlsIdentity {
    certified: Arc<SingleCertAndKey>,
    provider: Arc<CryptoProvider>,
    server: Arc<ServerConfig>,
}

impl TlsIdentity {
    /// Makes a certificate in which `identity` vouches for a fresh key.
    pub fn new(identity: &Identity) -> Result<Self, TlsSetupError> {
        let failed = |e: &dyn std::fmt::Display| TlsSetupError(e.to_string());
        let (certificate, key) =
            certificate::generate(&libp2p_keypair(identity.keypair())).map_err(|e| failed(&e))?;
        let provider = Arc::new(provider());
        let signer = provider.key_provider.load_private_key(key);
        let certified = CertifiedKey::new(vec![certificate], signer.map_err(|e| failed(&e))?);
        // Not `with_single_cert`, which reads the certificate as the web's PKI would and
        // refuses libp2p's critical extension.
        let certified = Arc::new(SingleCertAndKey::from(certified));
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| failed(&e))?
            .with_client_cert_verifier(Arc::new(AnyPeer))
            .with_cert_resolver(Arc::clone(&certified) as _);
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.key_log = Arc::new(NoKeyLog);
        server.send_tls13_tickets = 0;
        server.max_early_data_size = 0;
        Ok(Self {
            certified,
            provider,
            server: Arc::new(server),
        })
    }

    /// How to accept connections, from whoever proves to be somebody.
    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// How to connect to `peer` and nobody else.
    pub fn client(&self, peer: PeerKey) -> Result<Arc<ClientConfig>, TlsSetupError> {
        let failed = |e: &dyn std::fmt::Display| TlsSetupError(e.to_string());
        let expected = peer.peer_id().ok_or_else(|| failed(&"not a valid key"))?;
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| failed(&e))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ThisPeer { expected }))
            .with_client_cert_resolver(Arc::clone(&self.certified) as _);
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.key_log = Arc::new(NoKeyLog);
        client.resumption = rustls::client::Resumption::disabled();
        client.enable_early_data = false;
        client.enable_sni = false;
        Ok(Arc::new(client))
    }

    /// The same for QUIC, which carries this handshake in packets of its own.
    pub(super) fn quic_server(&self) -> Result<QuicServerConfig, TlsSetupError> {
        QuicServerConfig::try_from(self.server()).map_err(|e| TlsSetupError(e.to_string()))
    }

    /// The same for QUIC.
    pub(super) fn quic_client(&self, peer: PeerKey) -> Result<QuicClientConfig, TlsSetupError> {
        QuicClientConfig::try_from(self.client(peer)?).map_err(|e| TlsSetupError(e.to_string()))
    }
}

/// AES-128-GCM leads: with the processor's help it is the cheapest that is strong enough.
fn provider() -> CryptoProvider {
    let cipher_suites = match aes_is_faster_in_ring() {
        true => vec![
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
            ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
        ],
        false => vec![
            aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
            aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
        ],
    };
    CryptoProvider {
        cipher_suites,
        ..aws_lc_rs::default_provider()
    }
}

/// Whether the processor has wide AES instructions, but not the registers of AVX-512 without
/// which AWS-LC does not use them: ring does, and is twice as fast then (docs/benchmarks.md).
/// libp2p builds both libraries anyway.
fn aes_is_faster_in_ring() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("vaes")
        && is_x86_feature_detected!("vpclmulqdq")
        && !is_x86_feature_detected!("avx512vl");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The peer that a verified certificate chain belongs to.
pub fn peer_of(certificates: Option<&[CertificateDer<'_>]>) -> Option<PeerKey> {
    let [certificate] = certificates? else {
        return None;
    };
    let parsed = certificate::parse(certificate).ok()?;
    peer_key(&parsed.peer_id())
}

/// An Ed25519 PeerId is its key behind an identity multihash.
fn peer_key(peer: &PeerId) -> Option<PeerKey> {
    peer.to_string().parse().ok()
}

fn check_chain(
    certificate: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Result<PeerId, rustls::Error> {
    let bad = |e| rustls::Error::InvalidCertificate(e);
    if !intermediates.is_empty() {
        return Err(bad(CertificateError::BadEncoding));
    }
    let parsed = certificate::parse(certificate).map_err(|_| bad(CertificateError::BadEncoding))?;
    let peer = parsed.peer_id();
    // Grants and tickets know Ed25519 keys alone.
    match peer_key(&peer) {
        Some(_) => Ok(peer),
        None => Err(bad(CertificateError::ApplicationVerificationFailure)),
    }
}

fn check_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    certificate::parse(certificate)
        .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?
        .verify_signature(signed.scheme, message, signed.signature())
        .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadSignature))?;
    Ok(HandshakeSignatureValid::assertion())
}

/// TLS 1.2 is not configured, so its signatures are never asked about.
fn no_tls12() -> Result<HandshakeSignatureValid, rustls::Error> {
    Err(rustls::Error::PeerIncompatible(
        rustls::PeerIncompatible::Tls12NotOffered,
    ))
}

/// Accepts a server that is `expected`.
#[derive(Debug)]
struct ThisPeer {
    expected: PeerId,
}

impl ServerCertVerifier for ThisPeer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if check_chain(end_entity, intermediates)? != self.expected {
            return Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName,
            ));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        check_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

/// Accepts any client that proves to hold the key it names; what it may do is decided by
/// the grants that it presents afterwards.
#[derive(Debug)]
struct AnyPeer;

impl ClientCertVerifier for AnyPeer {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        check_chain(end_entity, intermediates)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        check_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}
