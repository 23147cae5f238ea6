//! What must hold when others than this machine can reach the program.

use domain::api_key::{STRONG_CHARS, is_strong};

use super::{ConfigError, ServerRole, Settings};

/// Least length of the metrics' token there.
const TOKEN_CHARS_MIN: usize = 16;

impl Settings {
    pub(super) fn check_secrets(&self) -> Result<(), ConfigError> {
        if self.host().is_none_or(|host| host.is_loopback()) {
            return Ok(());
        }
        let host = &self.server.host;
        let weak = |key: &String| !is_strong(key);
        if self.server.role == ServerRole::All
            && self.secrets.api_master_key.as_ref().is_some_and(weak)
        {
            return Err(ConfigError(format!(
                "API_MASTER_KEY: on an address that others reach (server.host = {host}) it must have \
                 at least {STRONG_CHARS} characters, not a few repeated; `openssl rand -hex 32` makes one"
            )));
        }
        let short = |token: &String| token.trim().chars().count() < TOKEN_CHARS_MIN;
        if self.secrets.metrics_token.as_ref().is_some_and(short) {
            return Err(ConfigError(format!(
                "METRICS_TOKEN: on an address that others reach (server.host = {host}) it must have at least \
                 {TOKEN_CHARS_MIN} characters"
            )));
        }
        Ok(())
    }

    /// With `NODE_ENV=production` the pages that may call the API are named.
    pub(super) fn check_origins(&self, production: bool) -> Result<(), ConfigError> {
        if production && self.server.cors_origins.iter().any(|origin| origin == "*") {
            return Err(ConfigError(
                "CORS_ORIGINS: * lets every web page in, which NODE_ENV=production does not allow; \
                 name the origins"
                    .into(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::with;

    #[test]
    fn a_weak_key_on_an_open_address_refuses_the_start() {
        let strong = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
        let start = |host: &str, key: &str| {
            with(&[("WAYPOST_HOST", host), ("API_MASTER_KEY", key)]).map(|_| ())
        };
        for host in ["0.0.0.0", "::", "192.168.1.5"] {
            for weak in ["correct-horse-16", &"a".repeat(40), "abababababababababababababababab"] {
                let error = start(host, weak).unwrap_err().to_string();
                assert!(error.starts_with("API_MASTER_KEY: ") && !error.contains(weak), "{error}");
            }
            assert!(start(host, strong).is_ok());
        }
        assert!(start("127.0.0.1", "correct-horse-16").is_ok());
        let token = with(&[("WAYPOST_HOST", "0.0.0.0"), ("METRICS_TOKEN", "x")]);
        assert!(token.unwrap_err().to_string().starts_with("METRICS_TOKEN: "));
    }

    #[test]
    fn every_page_may_call_only_outside_production() {
        assert!(with(&[("CORS_ORIGINS", "*")]).is_ok());
        let error = with(&[("CORS_ORIGINS", "*"), ("NODE_ENV", "production")]).unwrap_err();
        assert!(error.to_string().starts_with("CORS_ORIGINS: "));
        let named = [("CORS_ORIGINS", "https://shop.example"), ("NODE_ENV", "production")];
        assert!(with(&named).is_ok());
    }
}
