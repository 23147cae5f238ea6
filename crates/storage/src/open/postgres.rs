//! A schema in a PostgreSQL database.

use super::{OpenError, PostgresOptions, SqliteStore, StoreOptions};

/// Opens it.
pub(super) async fn open(
    _options: StoreOptions,
    _place: PostgresOptions,
) -> Result<SqliteStore, OpenError> {
    unreachable!()
}
