//! The gateway that runs with these settings, asked over its own API.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, bail};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::{config::Settings, first_key};

/// Longest wait for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A client of the running gateway.
pub struct LocalGateway {
    base: String,
    key: Option<String>,
    http: reqwest::Client,
}

impl LocalGateway {
    /// Where the settings say that it listens, or at `url`; with an admin key of this installation.
    ///
    /// # Errors
    /// No address or no key is known here.
    pub fn admin(settings: &Settings, url: Option<&str>) -> anyhow::Result<Self> {
        Ok(Self { key: Some(key(settings)?), ..Self::stranger(settings, url)? })
    }

    /// The same without a key.
    ///
    /// # Errors
    /// No address is known here.
    pub fn stranger(settings: &Settings, url: Option<&str>) -> anyhow::Result<Self> {
        let base = match url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => address(settings)?,
        };
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_LIMIT).build()?;
        Ok(Self { base, key: None, http })
    }

    /// Where it is asked, without a slash at the end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The status and the body of an answer; a body that is no JSON is `null`.
    ///
    /// # Errors
    /// Nobody answers there.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.header("x-api-key", key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| {
            format!("no gateway answers at {}: is `waypost serve` running?", self.base)
        })?;
        let status = answer.status();
        let text = answer.text().await.context("the gateway's answer ended in the middle")?;
        Ok((status, serde_json::from_str(&text).unwrap_or_default()))
    }

    /// The body of a success.
    ///
    /// # Errors
    /// Nobody answers there, or the answer is a refusal; then its own words.
    pub async fn expect(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let (status, body) = self.ask(method, path, body).await?;
        if !status.is_success() {
            bail!("the gateway at {} refused: {}", self.base, refusal(status, &body));
        }
        Ok(body)
    }
}

/// What a refusal says, for people.
pub fn refusal(status: StatusCode, body: &Value) -> String {
    match &body["message"] {
        Value::String(text) => text.clone(),
        Value::Array(texts) => {
            texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ")
        }
        _ => status.to_string(),
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_gateways_words() {
        let said = |body: Value| refusal(StatusCode::BAD_REQUEST, &body);
        assert_eq!(said(json!({ "message": "name is taken" })), "name is taken");
        assert_eq!(said(json!({ "message": ["a", "b"] })), "a; b");
        assert_eq!(said(Value::Null), "400 Bad Request");
    }
}
