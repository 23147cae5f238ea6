//! Every statement of this crate, for the test that prepares them on both databases. A module whose list is missing
//! here does not build without a warning: nobody uses it.

use crate::{
    api_key, approval, audit, automation, batch, brake, db::Statement, delivery, device_key,
    event_log, group, idempotency, label, lease, ledger, login, media, media_removal, message,
    open, pacing, people, plugin, quarantine, removal, search, session, stats, status, telemetry,
    template, transfer, upkeep, webhook, writer,
};

static ALL: &[&[&Statement]] = &[
    api_key::STATEMENTS,
    approval::STATEMENTS,
    audit::STATEMENTS,
    automation::STATEMENTS,
    batch::change::STATEMENTS,
    batch::confirm::STATEMENTS,
    batch::create::STATEMENTS,
    batch::STATEMENTS,
    batch::read::STATEMENTS,
    brake::STATEMENTS,
    delivery::attempts::STATEMENTS,
    delivery::claim::STATEMENTS,
    delivery::claims::due::STATEMENTS,
    delivery::claims::memory::STATEMENTS,
    delivery::claims::row_locks::STATEMENTS,
    delivery::claims::rows::STATEMENTS,
    delivery::log::STATEMENTS,
    delivery::STATEMENTS,
    delivery::push::STATEMENTS,
    delivery::shared::STATEMENTS,
    delivery::standing::STATEMENTS,
    device_key::STATEMENTS,
    event_log::STATEMENTS,
    group::STATEMENTS,
    idempotency::STATEMENTS,
    label::STATEMENTS,
    lease::memory::STATEMENTS,
    lease::processes::STATEMENTS,
    lease::STATEMENTS,
    lease::rows::STATEMENTS,
    ledger::STATEMENTS,
    login::STATEMENTS,
    media::STATEMENTS,
    media_removal::STATEMENTS,
    message::change::STATEMENTS,
    message::erase::STATEMENTS,
    message::held::STATEMENTS,
    message::insert::STATEMENTS,
    message::list::STATEMENTS,
    message::many::STATEMENTS,
    message::STATEMENTS,
    message::open_change::STATEMENTS,
    message::receipt::STATEMENTS,
    open::STATEMENTS,
    open::sqlite::STATEMENTS,
    pacing::STATEMENTS,
    people::block_list::STATEMENTS,
    people::chat::STATEMENTS,
    people::contact::STATEMENTS,
    people::form::STATEMENTS,
    people::identity::STATEMENTS,
    people::presence::STATEMENTS,
    people::STATEMENTS,
    plugin::STATEMENTS,
    plugin::calls::STATEMENTS,
    plugin::claim::STATEMENTS,
    plugin::instance::STATEMENTS,
    plugin::mapping::STATEMENTS,
    plugin::store::STATEMENTS,
    plugin::values::STATEMENTS,
    quarantine::STATEMENTS,
    removal::STATEMENTS,
    search::STATEMENTS,
    session::STATEMENTS,
    stats::STATEMENTS,
    status::STATEMENTS,
    telemetry::STATEMENTS,
    template::STATEMENTS,
    transfer::tables::STATEMENTS,
    upkeep::STATEMENTS,
    webhook::STATEMENTS,
    writer::turn::postgres::STATEMENTS,
    writer::turn::sqlite::STATEMENTS,
];

/// A statement as the databases get it, written for one row.
#[derive(Debug, Clone, Copy)]
pub struct RegisteredStatement {
    /// Where it stands in the sources.
    pub name: &'static str,
    /// For SQLite; empty where only PostgreSQL gets it.
    pub sqlite: &'static str,
    /// For PostgreSQL; empty where only SQLite gets it.
    pub postgres: &'static str,
}

/// All of them. For tests.
pub fn statements() -> impl Iterator<Item = RegisteredStatement> {
    ALL.iter().flat_map(|of_module| of_module.iter()).map(|statement| {
        let texts = statement.texts();
        RegisteredStatement {
            name: statement.name(),
            sqlite: texts.sqlite,
            postgres: texts.postgres,
        }
    })
}
