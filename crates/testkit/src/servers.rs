//! The database servers that `cargo xtask test` starts: a database of its own for each test, and Redis.

use std::path::PathBuf;

use sqlx::{ConnectOptions as _, Connection as _, Executor as _, postgres::PgConnectOptions};
use url::Url;
use uuid::Uuid;

/// A Redis that wants a password and TLS.
#[derive(Debug, Clone)]
pub struct SecureRedis {
    /// Its address: `rediss://:password@localhost:port`.
    pub url: String,
    /// The PEM file of the authority that signed its certificate.
    pub authority: PathBuf,
}

/// A new, empty database; its URL. It goes when the server goes.
///
/// # Panics
/// When there is no server.
pub async fn postgres_database() -> String {
    let server = variable_value("WAYPOST_TEST_POSTGRES");
    let options: PgConnectOptions = server.parse().unwrap();
    let mut connection = options.disable_statement_logging().connect().await.unwrap();
    let name = unique("test_");
    // From this template copies do not wait for each other, and no connection to it can be in the way.
    let create = format!("CREATE DATABASE {name} TEMPLATE template0");
    connection.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
    connection.close().await.unwrap();
    let mut url = Url::parse(&server).unwrap();
    url.set_path(&name);
    url.into()
}

/// The URL of a Redis that all tests share: each keeps to keys that begin with a [`redis_prefix`] of its own.
///
/// # Panics
/// When there is no server.
pub fn redis_url() -> String {
    variable_value("WAYPOST_TEST_REDIS")
}

/// A beginning of keys that no other test has.
pub fn redis_prefix() -> String {
    unique("test-")
}

/// A Redis that wants a password and TLS; the tests share it as well.
///
/// # Panics
/// When there is no server.
pub fn redis_tls() -> SecureRedis {
    SecureRedis {
        url: variable_value("WAYPOST_TEST_REDIS_TLS"),
        authority: variable_value("WAYPOST_TEST_REDIS_CA").into(),
    }
}

fn unique(prefix: &str) -> String {
    format!("{prefix}{}", Uuid::new_v4().simple())
}

fn variable_value(variable: &str) -> String {
    std::env::var(variable).ok().filter(|value| !value.is_empty()).unwrap_or_else(|| {
        panic!(
            "{variable} is not set: run the tests with cargo xtask test, or start servers with cargo xtask servers"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_database_is_new_and_empty() {
        let (one, other) = (postgres_database().await, postgres_database().await);
        assert_ne!(one, other);
        let count = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        for url in [one, other] {
            let options: PgConnectOptions = url.parse().unwrap();
            let mut connection = options.connect().await.unwrap();
            let tables: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap();
            assert_eq!(tables, 0);
            sqlx::query("CREATE TABLE mine (id int)").execute(&mut connection).await.unwrap();
            let tables: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap();
            assert_eq!(tables, 1);
        }
    }

    #[test]
    fn both_redis_servers_are_told() {
        assert!(redis_url().starts_with("redis://127.0.0.1:"));
        let secure = redis_tls();
        assert!(secure.url.starts_with("rediss://:") && secure.url.contains("@localhost:"));
        assert!(std::fs::read_to_string(&secure.authority).unwrap().contains("BEGIN CERTIFICATE"));
        assert_ne!(redis_prefix(), redis_prefix());
    }

    #[test]
    #[should_panic(expected = "cargo xtask servers")]
    fn a_missing_server_is_told_with_what_to_do() {
        variable_value("WAYPOST_TEST_NO_SUCH_SERVER");
    }
}
