//! `waypost backup`: ledger and media files in one file, whether the gateway runs or not.

use std::process::ExitCode;

use anyhow::bail;
use domain::Clock as _;
use storage::{BackupMedia, BackupOptions, WrittenBackup};

use crate::{
    cli::BackupArgs,
    config::{DatabaseTarget, PostgresTarget, Settings},
    progress,
    stores::needed_master_key,
    system::SystemClock,
};

/// Makes the backup, and says on standard output what is in it.
pub async fn run(settings: Settings, args: BackupArgs) -> anyhow::Result<ExitCode> {
    let ledger = match settings.database() {
        DatabaseTarget::Sqlite(file) => file,
        DatabaseTarget::Postgres(target) => bail!(by_its_own_tools(&settings, &args, &target)),
    };
    let options = BackupOptions {
        ledger,
        media: settings.media_dir(),
        without_media: args.without_media,
        key: needed_master_key(&settings)?,
        file: args.file.clone(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        now: SystemClock.now(),
    };
    let (listener, bar) = progress::on_stderr();
    let written = tokio::task::spawn_blocking(move || storage::back_up(&options, &listener)).await;
    bar.end();
    let written = written??;
    for damaged in &written.damaged_media {
        complain!("waypost: {} is damaged and was left out", damaged.display());
    }
    say!("{}", said(&args, &written).trim_end());
    Ok(ExitCode::SUCCESS)
}

/// What was made, for people.
fn said(args: &BackupArgs, written: &WrittenBackup) -> String {
    let header = &written.header;
    let media = match header.media {
        BackupMedia::Included => format!("{} media files", written.media_files),
        BackupMedia::Listed => {
            format!("a list of {} media files, which are not in it", written.media_files)
        }
    };
    format!(
        "{}: {} bytes, the ledger (tables of version {}) and {media}; read again and whole.\n\
         The master key is not in it. Without the key of fingerprint {} it cannot be restored: keep that apart.\n",
        args.file.display(),
        written.bytes,
        header.schema,
        header.key_fingerprint,
    )
}

/// PostgreSQL makes consistent copies of itself.
fn by_its_own_tools(settings: &Settings, args: &BackupArgs, target: &PostgresTarget) -> String {
    format!(
        "this ledger is in PostgreSQL, whose own tools copy it as of one moment while it is used, with its roles and \
         extensions, and restore it faster than this program could. Run\n  \
         pg_dump --format=custom --host={} --port={} --username={} --schema={} --file={} {}\n\
         then copy the media folder ({}), and keep the master key apart. After pg_restore, and before any gateway \
         starts, run `waypost restore --in-place`",
        target.host,
        target.port,
        target.username,
        target.schema,
        args.file.display(),
        target.name,
        settings.media_dir().display(),
    )
}
