//! Is this the server that it should be? Decided after the handshake proved its key.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, PeerIncompatible, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};

/// SHA-256 of a server's SubjectPublicKeyInfo: what is pinned.
///
/// As text `SHA256:` and unpadded base64, as OpenSSH shows its keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    pub(super) fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, rustls::Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        Ok(Self(Sha256::digest(&key).into()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// A text is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is `SHA256:` and 43 characters of base64")]
pub struct NotAFingerprint;

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let encoded = text.strip_prefix("SHA256:").ok_or(NotAFingerprint)?;
        // People copy the padding along from other tools.
        let encoded = encoded.strip_suffix('=').unwrap_or(encoded);
        let bytes = STANDARD_NO_PAD.decode(encoded).map_err(|_| NotAFingerprint)?;
        bytes.try_into().map(Self).map_err(|_| NotAFingerprint)
    }
}

/// Whom a connection is meant for. The order of CONTRACT is [`Trust::by_order`].
#[derive(Clone, Debug)]
pub enum Trust {
    /// The server with this key and no other, whatever any root says.
    Key(Fingerprint),
    /// A server whose certificate these roots verify for its name.
    Roots(Roots),
}

impl Trust {
    /// A fingerprint that a person gave alone decides; else one that is pinned; else the roots of
    /// the system.
    pub fn by_order(given: Option<Fingerprint>, pinned: Option<Fingerprint>) -> Self {
        given.or(pinned).map_or(Self::Roots(Roots::System), Self::Key)
    }
}

/// Certificate authorities.
#[derive(Clone, Debug)]
pub enum Roots {
    /// The operating system's, read once for the process.
    System,
    /// These.
    Only(Arc<RootCertStore>),
}

impl Roots {
    /// Reads files the first time: call it off the async threads.
    pub(super) fn load(&self) -> Arc<RootCertStore> {
        static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
        match self {
            Self::Only(roots) => Arc::clone(roots),
            Self::System => Arc::clone(SYSTEM.get_or_init(|| {
                let mut roots = RootCertStore::empty();
                // A store that cannot be read, or holds oddities, vouches for less: then the person
                // is asked. There is nothing to fail for.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                Arc::new(roots)
            })),
        }
    }
}

/// Who answered a handshake, and proved its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenServer {
    /// Its key.
    pub fingerprint: Fingerprint,
    /// Whether the roots that were asked verify its certificate for the name that was called. False
    /// if none were asked.
    pub verified_by_roots: bool,
}

impl SeenServer {
    pub(super) fn of(
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        roots: Option<Arc<RootCertStore>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, rustls::Error> {
        let Some((own, intermediates)) = chain.split_first() else {
            return Err(rustls::Error::NoCertificatesPresented);
        };
        let fingerprint = Fingerprint::of_certificate(own)?;
        // A verifier without any root cannot be built, and would verify nothing.
        let verifier = roots.filter(|roots| !roots.is_empty()).and_then(|roots| {
            WebPkiServerVerifier::builder_with_provider(roots, provider).build().ok()
        });
        let verified_by_roots = verifier.is_some_and(|verifier| {
            let now = UnixTime::now();
            verifier.verify_server_cert(own, intermediates, name, &[], now).is_ok()
        });
        Ok(Self { fingerprint, verified_by_roots })
    }
}

/// Lets every certificate pass whose key signed the handshake. The decision is [`Trust`]'s, once
/// the handshake has ended.
#[derive(Debug)]
pub(super) struct ProvesItsKey {
    pub(super) provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ProvesItsKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        ParsedCertificate::try_from(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
