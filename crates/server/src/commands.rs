//! The commands that run and end.

use std::{io::Write as _, path::Path, process::ExitCode, sync::Arc};

use anyhow::bail;
use domain::{
    ApiKeyId, Clock as _,
    api_key::{ApiKey, KeyHash, new_key, prefix_of},
    port::ApiKeyStore,
};

use crate::{
    assemble,
    cli::{CreateKey, KeysCommand},
    config::{self, Settings},
    system::{SystemClock, SystemEntropy},
};

/// `waypost keys …`: works on the ledger directly, without the HTTP API.
pub async fn keys(settings: Settings, command: KeysCommand) -> anyhow::Result<ExitCode> {
    match command {
        KeysCommand::Create(options) => create_key(&settings, options).await,
    }
}

async fn create_key(settings: &Settings, options: CreateKey) -> anyhow::Result<ExitCode> {
    if !(3..=100).contains(&options.name.chars().count()) {
        bail!("--name must be 3 to 100 characters");
    }
    let store = assemble::open_store(settings).await?;
    let text = new_key(&SystemEntropy);
    let key = ApiKey {
        id: ApiKeyId::new(&SystemEntropy),
        name: options.name,
        prefix: prefix_of(&text),
        hash: KeyHash::of(&text),
        role: options.role.into(),
        allowed_ips: vec![],
        allowed_sessions: vec![],
        allowed_chats: vec![],
        approval: None,
        active: true,
        expires_at: None,
        last_used_at: None,
        usage_count: 0,
        created_at: SystemClock.now(),
    };
    let keys: Arc<dyn ApiKeyStore> = Arc::new(store.clone());
    let stored = keys.insert_api_key(&key).await;
    store.close().await;
    stored?;
    // It is shown this once.
    writeln!(std::io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

/// `waypost openapi`: prints the document to standard output.
pub fn openapi() -> anyhow::Result<ExitCode> {
    std::io::stdout().write_all(api::openapi_json().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// `waypost check-config`: prints the settings that are in force.
pub fn check_config(file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let settings = config::load(file, &config::process_env)?;
    say!("{settings:#?}");
    say!("The configuration is valid.");
    Ok(ExitCode::SUCCESS)
}
