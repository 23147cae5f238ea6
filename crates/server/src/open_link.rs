//! `waypost open`: a link that logs a browser in. The running gateway makes it; this prints it, and opens nothing.

use std::{net::IpAddr, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::{cli::OpenOptions, config::Settings, first_key};

/// Longest wait for the gateway's answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct LinkAnswer {
    token: String,
}

/// Asks the gateway that these settings describe for a link, and prints it.
pub async fn run(settings: Settings, options: OpenOptions) -> anyhow::Result<ExitCode> {
    let base = match options.url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => address(&settings)?,
    };
    let key = key(&settings)?;
    let http = reqwest::Client::builder().timeout(ANSWER_LIMIT).build()?;
    let asked = http.post(format!("{base}/api/auth/session/link")).header("x-api-key", key);
    let answer = asked
        .send()
        .await
        .with_context(|| format!("no gateway answers at {base}: is `waypost serve` running?"))?;
    if !answer.status().is_success() {
        bail!("the gateway at {base} refused: {}", answer.text().await.unwrap_or_default());
    }
    let link: LinkAnswer = answer.json().await.context("the gateway's answer cannot be read")?;
    println!("{}", of_token(&base, &link.token));
    println!("It logs one browser in, once, within 10 minutes.");
    Ok(ExitCode::SUCCESS)
}

/// The link of a token. What is behind `#` stays in the browser: no server and no log sees it.
pub fn of_token(base: &str, token: &str) -> String {
    format!("{base}/#login={token}")
}

/// Where the gateway of these settings is asked from this machine.
fn address(settings: &Settings) -> anyhow::Result<String> {
    let port = settings.server.port;
    if port == 0 {
        bail!("server.port (PORT) is 0: say where the gateway listens with --url");
    }
    let host = settings.host().context("server.host is checked with the settings")?;
    let host = match host {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        IpAddr::V4(ip) => ip.to_string(),
    };
    Ok(format!("http://{host}:{port}{}", settings.server.base_path))
}

/// An admin key of this installation.
fn key(settings: &Settings) -> anyhow::Result<String> {
    if let Some(key) = &settings.secrets.api_master_key {
        return Ok(key.clone());
    }
    let path = settings.data.dir.join(first_key::FILE_NAME);
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "cannot read {}: is data.dir (WAYPOST_DATA_DIR) that of the gateway?",
            path.display()
        )
    })?;
    Ok(text.trim().to_owned())
}
