//! The sandbox uses its gateway as any client would: over HTTP, with a key.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::Method;
use serde_json::Value;

/// Longest wait for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A client of the gateway's HTTP API.
#[derive(Clone)]
pub struct ApiClient {
    http: reqwest::Client,
    base: String,
    key: String,
}

impl ApiClient {
    /// `base` ends in `/api`.
    pub fn new(base: String, key: String) -> anyhow::Result<Self> {
        // Plain HTTP on loopback only, and never through a proxy of the environment.
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_LIMIT).build()?;
        Ok(Self { http, base, key })
    }

    /// Sends a request and expects a status; other answers become errors with the gateway's own words.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        expect: u16,
    ) -> anyhow::Result<Value> {
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.base))
            .header("X-API-Key", &self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer =
            request.send().await.with_context(|| format!("{method} {path} got no answer"))?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        if status != expect {
            bail!("{method} {path} answered {status} instead of {expect}: {text}");
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("{method} {path} did not answer JSON"))
    }

    /// `GET` with status 200.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None, 200).await
    }
}
