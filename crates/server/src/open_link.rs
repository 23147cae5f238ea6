//! `waypost open`: a link that logs a browser in. The running gateway makes it; this prints it, and opens nothing.

use std::process::ExitCode;

use anyhow::Context as _;
use reqwest::Method;

use crate::{cli::OpenOptions, config::Settings, local::LocalGateway};

/// Asks the gateway that these settings describe for a link, and prints it.
pub async fn run(settings: Settings, options: OpenOptions) -> anyhow::Result<ExitCode> {
    let gateway = LocalGateway::admin(&settings, options.url.as_deref())?;
    let link = gateway.expect(Method::POST, "/api/auth/session/link", None).await?;
    let token = link["token"].as_str().context("the gateway's answer cannot be read")?;
    say!("{}", of_token(gateway.base(), token));
    say!("It logs one browser in, once, within 10 minutes.");
    Ok(ExitCode::SUCCESS)
}

/// The link of a token. What is behind `#` stays in the browser: no server and no log sees it.
pub fn of_token(base: &str, token: &str) -> String {
    format!("{base}/#login={token}")
}
