//! `[node]`: this process among others on the same ledger.

use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::{ConfigError, Settings, settings::range};

/// What a process is called that has no name.
const NAMELESS: &str = "node";
const NAME_CHARS_MAX: usize = 64;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSettings {
    id: String,
    url: String,
    answer_limit_ms: u64,
}

impl Settings {
    /// How people call this process.
    pub fn node_id(&self) -> &str {
        if self.node.id.is_empty() { NAMELESS } else { &self.node.id }
    }

    /// The URL at which the other gateways reach this one; `None` when it is the only one.
    pub fn node_url(&self) -> Result<Option<Url>, ConfigError> {
        let text = self.node.url.as_str();
        if text.is_empty() {
            return Ok(None);
        }
        let plain = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        };
        // Not the text itself: it may hold a password.
        let wrong = "node.url (NODE_URL): must be like http://10.0.0.2:2785, without a user, a query or a fragment";
        match Url::parse(text) {
            Ok(url) if plain(&url) => Ok(Some(url)),
            _ => Err(ConfigError(wrong.into())),
        }
    }

    /// How long another process may take until its answer begins.
    pub fn node_answer_limit(&self) -> Duration {
        Duration::from_millis(self.node.answer_limit_ms)
    }

    pub(super) fn check_node(&self) -> Result<(), ConfigError> {
        let id = self.node_id();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if id.len() > NAME_CHARS_MAX || !id.chars().all(fits) {
            return Err(ConfigError(format!(
                "node.id (NODE_ID): must be at most {NAME_CHARS_MAX} letters, digits, dots, _ and -, not {id:?}"
            )));
        }
        range("node.answer_limit_ms", self.node.answer_limit_ms, 100, 600_000)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::with;

    #[test]
    fn a_process_is_the_only_one_unless_it_says_where_it_is_reached() {
        let single = with(&[]).unwrap();
        assert_eq!((single.node_url().unwrap(), single.node_id()), (None, "node"));
        assert_eq!(single.node_answer_limit().as_secs(), 60);
        let vars = [
            ("NODE_ID", "post-1"),
            ("NODE_URL", "http://10.0.0.2:2785"),
            ("SESSION_PROXY_TIMEOUT_MS", "5000"),
        ];
        let one = with(&vars).unwrap();
        assert_eq!(one.node_url().unwrap().unwrap().as_str(), "http://10.0.0.2:2785/");
        assert_eq!((one.node_id(), one.node_answer_limit().as_secs()), ("post-1", 5));
    }
}
