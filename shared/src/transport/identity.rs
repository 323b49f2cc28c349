//! What a server proves itself with: a private key, and a certificate around its public half.
//!
//! Clients pin the key, not the certificate, so a certificate may be renewed around the same key.

use std::fmt;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::Fingerprint;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The key could not be made.
    #[error("a server key could not be made: {0}")]
    Generate(#[source] rcgen::Error),
    /// The key's text is no private key in PEM.
    #[error("the server's key is no private key in PEM: {0}")]
    Key(#[source] rustls::pki_types::pem::Error),
    /// The certificate's text is no certificate in PEM.
    #[error("the server's certificate is no certificate in PEM: {0}")]
    Certificate(#[source] rustls::pki_types::pem::Error),
    /// There is no certificate in the text.
    #[error("there is no certificate in the server's certificate file")]
    NoCertificate,
    /// Key and certificate do not belong together, or the kind of key is not supported.
    #[error("the server's key and certificate cannot be used together: {0}")]
    Unusable(#[source] rustls::Error),
}

/// A server's key and certificates.
pub struct ServerIdentity {
    key_pem: Zeroizing<String>,
    certificate_pem: String,
    pub(super) chain: Vec<CertificateDer<'static>>,
    fingerprint: Fingerprint,
}

impl ServerIdentity {
    /// A new key, and a certificate that it signs itself.
    pub fn generate() -> Result<Self, IdentityError> {
        let key = rcgen::KeyPair::generate().map_err(IdentityError::Generate)?;
        let names = vec!["sampan".to_owned()];
        let certificate = rcgen::CertificateParams::new(names)
            .and_then(|parameters| parameters.self_signed(&key))
            .map_err(IdentityError::Generate)?;
        let key_pem = Zeroizing::new(key.serialize_pem());
        Self::from_pem(&key_pem, &certificate.pem())
    }

    /// An identity as it was stored, or as a certificate authority issued it: the server's own
    /// certificate first, intermediate ones after it.
    pub fn from_pem(key_pem: &str, certificate_pem: &str) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(certificate_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(IdentityError::Certificate)?;
        let own = chain.first().ok_or(IdentityError::NoCertificate)?;
        let fingerprint = Fingerprint::of_certificate(own).map_err(IdentityError::Unusable)?;
        let identity = Self {
            key_pem: Zeroizing::new(key_pem.to_owned()),
            certificate_pem: certificate_pem.to_owned(),
            chain,
            fingerprint,
        };
        // Whether the key is one, and fits, shows when a configuration is made of both.
        identity.configuration()?;
        Ok(identity)
    }

    /// What is pinned, printed and compared.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The key, to be stored where only the server can read it.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The certificates, to be stored beside the key.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, IdentityError> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(IdentityError::Key)
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fingerprint = &self.fingerprint;
        f.debug_struct("ServerIdentity").field("fingerprint", fingerprint).finish_non_exhaustive()
    }
}
