//! `[database]`: where the ledger is.

use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use super::{
    ConfigError, Settings,
    settings::range,
    tls::{self, TlsSettings},
};

/// The name of the database when none is given (OpenWA's).
const POSTGRES_NAME: &str = "openwa";
/// PostgreSQL cuts longer names.
const NAME_BYTES_MAX: usize = 63;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    #[serde(rename = "type")]
    pub kind: DatabaseType,
    pub name: String,
    pub host: String,
    pub port: u16,
    pub username: String,
    pub pool_size: u32,
    pub ssl: bool,
    pub ssl_ca: PathBuf,
    pub schema: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseType {
    /// A file that belongs to one process.
    Sqlite,
    /// A server that several processes share.
    Postgres,
}

impl DatabaseType {
    /// As the settings write them.
    pub const NAMES: [&str; 2] = ["sqlite", "postgres"];
}

/// Where the ledger is, ready to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseTarget {
    /// SQLite, in this file.
    Sqlite(PathBuf),
    /// PostgreSQL, on this server.
    Postgres(PostgresTarget),
}

/// A PostgreSQL server and the database on it.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresTarget {
    pub host: String,
    pub port: u16,
    pub username: String,
    /// Not in any log: see [`std::fmt::Debug`] below.
    pub password: Option<String>,
    /// The name of the database.
    pub name: String,
    /// Most connections of this process.
    pub pool_size: u32,
    /// Encrypted and verified, or neither.
    pub tls: Option<TlsSettings>,
    /// Where the tables are.
    pub schema: String,
}

impl std::fmt::Debug for PostgresTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "postgres://{}@{}:{}/{}", self.username, self.host, self.port, self.name)
    }
}

impl PostgresTarget {
    /// The connection URL, with the password and `sslmode`; without the pool and the schema.
    ///
    /// # Errors
    /// The host is none; it is checked with the settings.
    pub fn url(&self) -> Result<Url, ConfigError> {
        let wrong = || {
            ConfigError(format!("database.host: must be a name or an address, not {:?}", self.host))
        };
        let mut url = Url::parse("postgres://localhost").map_err(|_| wrong())?;
        // An IPv6 address has brackets in a URL.
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let host = if bare.contains(':') { format!("[{bare}]") } else { self.host.clone() };
        url.set_host(Some(&host)).map_err(|_| wrong())?;
        url.set_port(Some(self.port)).map_err(|()| wrong())?;
        url.set_username(&self.username).map_err(|()| wrong())?;
        url.set_password(self.password.as_deref()).map_err(|()| wrong())?;
        url.path_segments_mut().map_err(|()| wrong())?.clear().push(&self.name);
        let mut query = url.query_pairs_mut();
        query.append_pair("sslmode", if self.tls.is_some() { "verify-full" } else { "disable" });
        if let Some(TlsSettings { ca: Some(ca) }) = &self.tls {
            query.append_pair("sslrootcert", &ca.to_string_lossy());
        }
        drop(query);
        Ok(url)
    }
}

impl Settings {
    /// Where the ledger is.
    pub fn database(&self) -> DatabaseTarget {
        let database = &self.database;
        if database.kind == DatabaseType::Sqlite {
            let file = Some(&database.name).filter(|name| !name.is_empty());
            return DatabaseTarget::Sqlite(
                file.map_or_else(|| self.data.dir.join("waypost.sqlite"), PathBuf::from),
            );
        }
        let name = if database.name.is_empty() { POSTGRES_NAME } else { &database.name };
        DatabaseTarget::Postgres(PostgresTarget {
            host: database.host.clone(),
            port: database.port,
            username: database.username.clone(),
            password: self.secrets.database_password.clone(),
            name: name.to_owned(),
            pool_size: database.pool_size,
            tls: tls::target(database.ssl, &database.ssl_ca),
            schema: database.schema.clone(),
        })
    }

    pub(super) fn check_database(&self) -> Result<(), ConfigError> {
        let database = &self.database;
        range("database.pool_size", u64::from(database.pool_size), 1, 1000)?;
        let DatabaseTarget::Postgres(target) = self.database() else { return Ok(()) };
        range("database.port", u64::from(database.port), 1, u16::MAX.into())?;
        if target.username.is_empty() {
            return Err(ConfigError("database.username: must not be empty".into()));
        }
        if target.name.len() > NAME_BYTES_MAX || target.name.contains(['/', '\\', '\0']) {
            return Err(ConfigError(format!(
                "database.name: with PostgreSQL, must be the name of a database, not {:?}",
                target.name
            )));
        }
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let schema = target.schema.as_str();
        if schema.is_empty()
            || schema.len() > NAME_BYTES_MAX
            || schema.starts_with("pg_")
            || schema.starts_with(|c: char| c.is_ascii_digit())
            || !schema.chars().all(letters)
        {
            return Err(ConfigError(format!(
                "database.schema: must be small letters, digits and _, not {schema:?}"
            )));
        }
        target.url()?;
        tls::check(("database.ssl", database.ssl), ("database.ssl_ca", &database.ssl_ca))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::with;

    fn postgres(vars: &[(&str, &str)]) -> PostgresTarget {
        let vars = [&[("DATABASE_TYPE", "postgres")], vars].concat();
        match with(&vars).unwrap().database() {
            DatabaseTarget::Postgres(target) => target,
            DatabaseTarget::Sqlite(path) => panic!("{}", path.display()),
        }
    }

    #[test]
    fn a_file_is_the_default_and_its_name_can_be_given() {
        let file = |vars: &[(&str, &str)]| with(vars).unwrap().database();
        let is = |path: &str| DatabaseTarget::Sqlite(path.into());
        assert_eq!(file(&[]), is("data/waypost.sqlite"));
        assert_eq!(file(&[("WAYPOST_DATA_DIR", "/srv/w")]), is("/srv/w/waypost.sqlite"));
        assert_eq!(file(&[("DATABASE_NAME", "./other.sqlite")]), is("./other.sqlite"));
        // What a compose file hands over for the other kind does no harm.
        assert_eq!(
            file(&[("DATABASE_HOST", "db"), ("DATABASE_PORT", "1")]),
            is("data/waypost.sqlite")
        );
    }

    #[test]
    fn postgres_has_defaults_for_everything_but_the_password() {
        let target = postgres(&[]);
        assert_eq!(
            target.url().unwrap().as_str(),
            "postgres://postgres@localhost:5432/openwa?sslmode=disable"
        );
        assert_eq!((target.pool_size, target.schema.as_str()), (10, "public"));
    }

    #[test]
    fn every_part_of_postgres_can_be_set_and_odd_characters_are_escaped() {
        let target = postgres(&[
            ("DATABASE_HOST", "::1"),
            ("DATABASE_PORT", "5433"),
            ("DATABASE_USERNAME", "way post"),
            ("DATABASE_PASSWORD", "p@ss/wörd#"),
            ("DATABASE_NAME", "post office"),
            ("DATABASE_POOL_SIZE", "40"),
            ("DATABASE_SSL", "true"),
            ("POSTGRES_SCHEMA", "waypost"),
        ]);
        assert_eq!(
            target.url().unwrap().as_str(),
            "postgres://way%20post:p%40ss%2Fw%C3%B6rd%23@[::1]:5433/post%20office?sslmode=verify-full"
        );
        assert_eq!((target.pool_size, target.schema.as_str()), (40, "waypost"));
        assert!(!format!("{target:?}").contains("p@ss"));
    }

    #[test]
    fn an_authority_of_ones_own_is_handed_on() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "-----BEGIN CERTIFICATE-----").unwrap();
        let path = file.path().to_str().unwrap();
        let target = postgres(&[("DATABASE_SSL", "true"), ("DATABASE_SSL_CA", path)]);
        assert_eq!(target.tls, Some(TlsSettings { ca: Some(file.path().to_path_buf()) }));
        assert!(target.url().unwrap().query().unwrap().contains("sslrootcert="));
        std::fs::write(file.path(), "no certificate").unwrap();
        let vars =
            [("DATABASE_TYPE", "postgres"), ("DATABASE_SSL", "true"), ("DATABASE_SSL_CA", path)];
        let error = with(&vars).unwrap_err().to_string();
        assert!(error.starts_with("database.ssl_ca: "), "{error}");
    }
}
