//! `waypost restore`: a backup takes the place of the ledger, and what must not be used twice is dropped.

use std::{process::ExitCode, sync::Arc};

use anyhow::bail;
use domain::{Clock as _, Entropy as _};
use storage::{RestoreOptions, RestoredBackup, Revival, Revived, StoreOptions};

use crate::{
    cli::RestoreArgs,
    config::{DatabaseTarget, Settings},
    progress,
    stores::{self, needed_master_key},
    system::{SystemClock, SystemEntropy},
};

const NEXT: &str = "\
Start the gateway now, and make sure that the old one never starts again: two processes with the same linked device
disconnect each other. API keys that were revoked after the backup are valid again.
";

/// Restores, and says on standard output what was done.
pub async fn run(settings: Settings, args: RestoreArgs) -> anyhow::Result<ExitCode> {
    let Some(file) = args.file else { return in_place(&settings).await };
    let ledger = match settings.database() {
        DatabaseTarget::Sqlite(file) => file,
        DatabaseTarget::Postgres(_) => bail!(
            "a backup file holds an SQLite ledger, and the settings name PostgreSQL (database.type, DATABASE_TYPE): \
             restore that with pg_restore, then run `waypost restore --in-place`. To move from SQLite to PostgreSQL, \
             restore here without that setting and use GET /api/infra/export-data"
        ),
    };
    let options = RestoreOptions {
        file,
        ledger: ledger.clone(),
        media: settings.media_dir(),
        key: needed_master_key(&settings)?,
        replace: args.replace,
        revival: revival(),
    };
    let (listener, bar) = progress::on_stderr();
    let restored = Box::pin(storage::restore(options, listener)).await;
    bar.end();
    let restored = restored?;
    let made_at = &restored.backup.header.made_at;
    say!("The ledger at {} is that of {made_at} again.", ledger.display());
    say!("{}{}{}", said(&restored.revived), beside(&restored), NEXT.trim_end());
    Ok(ExitCode::SUCCESS)
}

/// The database's own tools have restored it.
async fn in_place(settings: &Settings) -> anyhow::Result<ExitCode> {
    let options = StoreOptions {
        database: stores::database(settings),
        entropy: Arc::new(SystemEntropy),
        ..StoreOptions::new(settings.data.dir.clone(), needed_master_key(settings)?)
    };
    let revived = Box::pin(storage::revive_in_place(options, &revival())).await?;
    say!("The ledger is ready to run after a restore.");
    say!("{}{}", said(&revived), NEXT.trim_end());
    Ok(ExitCode::SUCCESS)
}

/// What a ledger from the past must not go on with: the engine says which keys.
fn revival() -> Revival {
    Revival {
        forget: whatsapp::STALE_NAMESPACES,
        device: whatsapp::DEVICE_PLACE,
        renew: Arc::new(|stored| {
            let mut random = [0; 4];
            SystemEntropy.fill(&mut random);
            whatsapp::renewed_device(stored, u32::from_le_bytes(random))
        }),
        now: SystemClock.now(),
        entropy: Arc::new(SystemEntropy),
    }
}

fn said(revived: &Revived) -> String {
    format!(
        "Sessions: {}. Linked devices: {}; they begin new encryption sessions and upload new keys at their next login \
         ({} old keys dropped).\n\
         Not sent again, because they may have gone out since the backup: {} messages (failed, `expired`), {} changes \
         of messages, {} batches (cancelled), {} approvals (failed).\n",
        revived.sessions,
        revived.devices,
        revived.keys,
        revived.messages,
        revived.changes,
        revived.batches,
        revived.approvals,
    )
}

fn beside(restored: &RestoredBackup) -> String {
    let mut text = String::new();
    if restored.missing_media > 0 {
        text.push_str(&format!(
            "{} media files are not here: copy the media folder of then into this one.\n",
            restored.missing_media
        ));
    }
    if let Some(replaced) = &restored.replaced {
        text.push_str(&format!(
            "The ledger that was here is kept as {}: delete it once all is well.\n",
            replaced.display()
        ));
    }
    text
}
