//! A new, empty database on the tests' PostgreSQL.

use storage::PostgresOptions;

/// Where it is; the ledger's tables go into `schema`.
pub async fn place(schema: &str) -> PostgresOptions {
    let url = url::Url::parse(&testkit::servers::postgres_database().await).unwrap();
    PostgresOptions {
        host: url.host_str().unwrap().into(),
        port: url.port().unwrap_or(5432),
        username: url.username().into(),
        password: url.password().map(str::to_owned),
        database: url.path().trim_start_matches('/').into(),
        schema: schema.into(),
        tls: None,
    }
}
