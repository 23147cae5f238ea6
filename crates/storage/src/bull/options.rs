//! Where Redis is, and how much patience there is with it.

use std::{fmt, path::PathBuf, time::Duration};

use bullmq::options::{RedisConnectionOptions, TlsCerts};
use redis::{Client, TlsCertificates};

/// The names users know from `REDIS_*`, and the times of the shared queue.
#[derive(Clone)]
pub struct RedisOptions {
    /// Host name or address.
    pub host: String,
    /// The TCP port, most often 6379.
    pub port: u16,
    /// The user of an access list; usually only a password is set.
    pub username: Option<String>,
    /// The password; without one Redis asks for none.
    pub password: Option<String>,
    /// Whether to speak TLS.
    pub tls: bool,
    /// The certificates (PEM) that sign the server's, instead of the public ones. Means TLS.
    pub ca: Option<PathBuf>,
    /// The number of the database.
    pub db: u8,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the answer to one call; after it Redis counts as gone.
    pub call_timeout: Duration,
    /// What every key begins with.
    pub prefix: String,
    /// How often the queue is compared with the ledger. Zero: at every claim, for tests with a clock of their own.
    pub sweep_interval: Duration,
    /// How often Redis is looked for while it is gone.
    pub probe_interval: Duration,
    /// How often [`BullQueue::watch`](super::BullQueue::watch) looks for jobs that other processes added.
    pub watch_interval: Duration,
    /// How long a job stays locked without being renewed: as long as the lease of a lane.
    pub lock: Duration,
}

/// The options make no sense.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRedisOptions {
    /// The file with the certificates cannot be read.
    #[error("the certificates of Redis ({path}) cannot be read")]
    Unreadable {
        /// The path that was tried.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The address, the prefix or the certificates do not parse.
    #[error("the address, the prefix or the certificates of Redis are not valid: {0}")]
    Invalid(String),
}

impl RedisOptions {
    /// No password, no TLS, the usual times.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            username: None,
            password: None,
            tls: false,
            ca: None,
            db: 0,
            connect_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(2),
            prefix: "bull".to_owned(),
            sweep_interval: Duration::from_secs(1),
            probe_interval: Duration::from_secs(1),
            watch_interval: Duration::from_millis(50),
            lock: Duration::from_secs(60),
        }
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("db", &self.db)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// How a connection is made: the options with the certificates read and everything parsed once.
#[derive(Clone)]
pub(super) struct RedisAddress {
    pub(super) bullmq: RedisConnectionOptions,
    pub(super) client: Client,
}

impl RedisAddress {
    pub(super) fn of(options: &RedisOptions) -> Result<Self, InvalidRedisOptions> {
        if options.prefix.is_empty() || options.prefix.contains(':') {
            let reason = "the prefix must not be empty and must not contain a colon".to_owned();
            return Err(InvalidRedisOptions::Invalid(reason));
        }
        let root_cert = match &options.ca {
            Some(path) => Some(std::fs::read(path).map_err(|source| {
                InvalidRedisOptions::Unreadable { path: path.clone(), source }
            })?),
            None => None,
        };
        let invalid = |error: redis::RedisError| InvalidRedisOptions::Invalid(error.to_string());
        let bullmq = RedisConnectionOptions {
            host: Some(options.host.clone()),
            port: Some(options.port),
            username: options.username.clone(),
            password: options.password.clone(),
            db: Some(options.db),
            tls: options.tls,
            tls_certs: root_cert
                .clone()
                .map(|root_cert| TlsCerts { root_cert: Some(root_cert), ..TlsCerts::default() }),
            ..RedisConnectionOptions::default()
        };
        if options.tls || root_cert.is_some() {
            // The client asks for the process's own, and there may be none yet; whoever was first is right.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let url = bullmq.effective_url();
        let client = match root_cert {
            Some(pem) if !holds_certificate(&pem) => {
                let reason = "the file holds no certificate in PEM form".to_owned();
                return Err(InvalidRedisOptions::Invalid(reason));
            }
            Some(_) => {
                let certificates = TlsCertificates { client_tls: None, root_cert };
                Client::build_with_tls(url, certificates).map_err(invalid)?
            }
            None => Client::open(url).map_err(invalid)?,
        };
        Ok(Self { bullmq, client })
    }
}

fn holds_certificate(pem: &[u8]) -> bool {
    let mark = b"-----BEGIN CERTIFICATE-----";
    pem.windows(mark.len()).any(|window| window == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_told() {
        let mut options = RedisOptions::new("localhost", 6379);
        (options.username, options.password) = (Some("anna".into()), Some("hunter2".into()));
        let text = format!("{options:?}");
        assert!(!text.contains("hunter2") && !text.contains("anna"), "{text}");
    }

    #[test]
    fn certificates_are_checked_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let mut options = RedisOptions::new("localhost", 6379);
        options.ca = Some(path.clone());
        assert!(matches!(RedisAddress::of(&options), Err(InvalidRedisOptions::Unreadable { .. })));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(matches!(RedisAddress::of(&options), Err(InvalidRedisOptions::Invalid(_))));
        options.ca = None;
        options.password = Some("with : and @ and /".into());
        assert!(RedisAddress::of(&options).is_ok());
        options.prefix = "a:b".into();
        assert!(matches!(RedisAddress::of(&options), Err(InvalidRedisOptions::Invalid(_))));
    }
}
