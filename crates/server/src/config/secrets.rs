//! Secrets: each from the environment, as text or as the path of a file of its own.

use std::collections::BTreeMap;

use super::{ConfigError, Env, env::set};

/// Secrets come only from the environment, as text or as the path of a file of their own (`<NAME>_FILE`), so that no
/// file of settings has to hold them.
#[derive(Clone, Default)]
pub struct EnvSecrets {
    /// `API_MASTER_KEY`: a fixed admin key.
    pub api_master_key: Option<String>,
    /// `API_KEY_PEPPER`: mixed into the hashes of API keys.
    pub api_key_pepper: Option<String>,
    /// `WAYPOST_MASTER_KEY`: encrypts secrets at rest instead of the key file.
    pub master_key: Option<String>,
    /// `METRICS_TOKEN`: callers of `/api/metrics` show it.
    pub metrics_token: Option<String>,
    /// `DATABASE_PASSWORD`: of `database.username` at PostgreSQL.
    pub database_password: Option<String>,
    pub redis_username: Option<String>,
    pub redis_password: Option<String>,
    /// `OTEL_EXPORTER_OTLP_HEADERS`: what opens the collector of traces.
    pub trace_headers: Option<String>,
}

impl std::fmt::Debug for EnvSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(…)")
    }
}

/// The secrets by the names of their variables, and the variable that gives each, if one does.
pub fn secret_origins(env: Env<'_>) -> BTreeMap<&'static str, Option<String>> {
    const NAMES: [&str; 8] = [
        "API_KEY_PEPPER",
        "API_MASTER_KEY",
        "DATABASE_PASSWORD",
        "METRICS_TOKEN",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "REDIS_PASSWORD",
        "REDIS_USERNAME",
        "WAYPOST_MASTER_KEY",
    ];
    let given = |name: &str| {
        let mut variables = [name.to_owned(), format!("{name}_FILE")].into_iter();
        variables.find(|variable| set(env, variable).is_some())
    };
    NAMES.into_iter().map(|name| (name, given(name))).collect()
}

/// The secrets by the names of their variables, and whether each is set.
pub fn secrets_set(env: Env<'_>) -> BTreeMap<&'static str, bool> {
    secret_origins(env).into_iter().map(|(name, given)| (name, given.is_some())).collect()
}

/// A secret: the variable itself, or what is in the file that `<NAME>_FILE` names, without white space around it.
fn secret(env: Env<'_>, name: &str) -> Result<Option<String>, ConfigError> {
    let of_file = format!("{name}_FILE");
    match (set(env, name), set(env, &of_file)) {
        (Some(_), Some(_)) => {
            Err(ConfigError(format!("{of_file}: {name} is set, too; one of them is enough")))
        }
        (text, None) => Ok(text),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| ConfigError(format!("{of_file}: cannot read {path}: {error}")))?;
            match text.trim() {
                "" => Err(ConfigError(format!("{of_file}: {path} is empty"))),
                text => Ok(Some(text.to_owned())),
            }
        }
    }
}

/// Reads the secrets, and checks their lengths and forms.
pub fn secrets(env: Env<'_>) -> Result<EnvSecrets, ConfigError> {
    let api_master_key = secret(env, "API_MASTER_KEY")?;
    if api_master_key.as_ref().is_some_and(|key| key.len() < 16) {
        return Err(ConfigError("API_MASTER_KEY: must be at least 16 characters".into()));
    }
    let api_key_pepper = secret(env, "API_KEY_PEPPER")?;
    if api_key_pepper.as_ref().is_some_and(|pepper| pepper.len() < 16) {
        return Err(ConfigError("API_KEY_PEPPER: must be at least 16 characters".into()));
    }
    let master_key = secret(env, "WAYPOST_MASTER_KEY")?;
    if master_key.as_ref().is_some_and(|key| storage::MasterKey::from_hex_or_base64(key).is_err()) {
        return Err(ConfigError(
            "WAYPOST_MASTER_KEY: must be 32 bytes, as 64 hex digits or base64".into(),
        ));
    }
    // An empty variable is what a compose file makes of one that is not set.
    let metrics_token = secret(env, "METRICS_TOKEN")?.filter(|token| !token.trim().is_empty());
    Ok(EnvSecrets {
        api_master_key,
        api_key_pepper,
        master_key,
        metrics_token,
        database_password: secret(env, "DATABASE_PASSWORD")?,
        redis_username: secret(env, "REDIS_USERNAME")?,
        redis_password: secret(env, "REDIS_PASSWORD")?,
        trace_headers: secret(env, "OTEL_EXPORTER_OTLP_HEADERS")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(vars: &[(&str, &str)]) -> Result<EnvSecrets, ConfigError> {
        let vars: BTreeMap<String, String> =
            vars.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        secrets(&|name| vars.get(name).cloned())
    }

    #[test]
    fn a_secret_may_lie_in_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pepper");
        std::fs::write(&path, "pepper-of-the-tests\n").unwrap();
        let path = path.to_str().unwrap();
        let found = given(&[("API_KEY_PEPPER_FILE", path)]).unwrap();
        assert_eq!(found.api_key_pepper.as_deref(), Some("pepper-of-the-tests"));
        assert_eq!(given(&[]).unwrap().api_key_pepper, None);
    }

    #[test]
    fn a_file_that_says_nothing_stops_the_start_and_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let text = path.to_str().unwrap();
        let error = given(&[("METRICS_TOKEN_FILE", text)]).unwrap_err().to_string();
        assert!(error.starts_with("METRICS_TOKEN_FILE: cannot read "), "{error}");
        std::fs::write(&path, " \n").unwrap();
        let error = given(&[("METRICS_TOKEN_FILE", text)]).unwrap_err().to_string();
        assert!(error.ends_with("is empty"), "{error}");
        std::fs::write(&path, "a-token-of-a-file").unwrap();
        let both = [("METRICS_TOKEN_FILE", text), ("METRICS_TOKEN", "another")];
        let error = given(&both).unwrap_err().to_string();
        assert!(error.starts_with("METRICS_TOKEN_FILE: METRICS_TOKEN is set, too"), "{error}");
        assert!(!error.contains("another"), "{error}");
    }
}
