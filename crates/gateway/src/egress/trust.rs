//! Authorities of certificates beside the usual ones.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsConnector;

use super::{EgressBuildError, trusting, usual_authorities};

/// Certificates in one text.
const CERTIFICATES_MAX: usize = 32;
/// Sets of authorities for which TLS is prepared, each some 100 KiB; when full, the one that was not used for longest
/// goes.
const PREPARED_MAX: usize = 32;

/// Certificates of authorities, read from PEM text. Cheap to clone.
#[derive(Clone)]
pub struct Authorities {
    certificates: Arc<[CertificateDer<'static>]>,
    /// The hash of them: what tells two sets apart.
    hash: [u8; 32],
}

/// Why a PEM text names no authorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuthorities {
    /// No certificate in it.
    #[error("holds no PEM certificate")]
    Empty,
    /// A certificate that cannot be read.
    #[error("holds a certificate that cannot be read")]
    Broken,
    /// Over [`CERTIFICATES_MAX`].
    #[error("holds more than 32 certificates")]
    TooMany,
}

impl Authorities {
    /// Reads a PEM text. Other things in it than certificates are skipped.
    ///
    /// # Errors
    /// [`InvalidAuthorities`].
    pub fn read(pem: &str) -> Result<Self, InvalidAuthorities> {
        let found = CertificateDer::pem_slice_iter(pem.as_bytes()).take(CERTIFICATES_MAX + 1);
        let found: Result<Vec<_>, _> = found.collect();
        let found = found.map_err(|_| InvalidAuthorities::Broken)?;
        if found.is_empty() {
            return Err(InvalidAuthorities::Empty);
        }
        if found.len() > CERTIFICATES_MAX {
            return Err(InvalidAuthorities::TooMany);
        }
        let mut hash = Sha256::new();
        let mut store = rustls::RootCertStore::empty();
        for certificate in &found {
            // The length too: otherwise two sets could read the same.
            hash.update((certificate.len() as u64).to_be_bytes());
            hash.update(certificate);
            store.add(certificate.clone()).map_err(|_| InvalidAuthorities::Broken)?;
        }
        Ok(Self { certificates: found.into(), hash: hash.finalize().into() })
    }

    fn add_to(&self, roots: &mut rustls::RootCertStore) {
        // All of them were added to a store before.
        roots.add_parsable_certificates(self.certificates.iter().cloned());
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({} certificates)", self.certificates.len())
    }
}

/// TLS towards receivers: the usual authorities, those of the installation, and those of one receiver.
pub(super) struct TrustStore {
    roots: rustls::RootCertStore,
    usual: TlsConnector,
    /// The one that was used last in front.
    own: Mutex<Vec<([u8; 32], TlsConnector)>>,
}

impl TrustStore {
    pub(super) fn new(authorities: Option<&Authorities>) -> Result<Self, EgressBuildError> {
        let mut roots = usual_authorities();
        if let Some(authorities) = authorities {
            authorities.add_to(&mut roots);
        }
        let usual = connector(roots.clone())?;
        Ok(Self { roots, usual, own: Mutex::default() })
    }

    pub(super) fn connector(
        &self,
        own: Option<&Authorities>,
    ) -> Result<TlsConnector, EgressBuildError> {
        let Some(own) = own else { return Ok(self.usual.clone()) };
        let mut known = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match known.iter().position(|(hash, _)| *hash == own.hash) {
            Some(place) => known.remove(place),
            None => {
                let mut roots = self.roots.clone();
                own.add_to(&mut roots);
                (own.hash, connector(roots)?)
            }
        };
        known.truncate(PREPARED_MAX - 1);
        known.insert(0, found.clone());
        Ok(found.1)
    }
}

fn connector(roots: rustls::RootCertStore) -> Result<TlsConnector, EgressBuildError> {
    Ok(TlsConnector::from(Arc::new(trusting(roots)?)))
}

/// What connections are kept under: one that was made with authorities of one receiver is no other's.
pub(super) fn kept_under<'a>(origin: &'a str, own: Option<&Authorities>) -> Cow<'a, str> {
    match own {
        None => origin.into(),
        Some(own) => format!("{origin}#{}", hex::encode(own.hash)).into(),
    }
}
