//! Configuration: defaults built in, then a file, then the environment. Checked as a whole before anything starts.
//!
//! A mistake stops the start with one line that names the setting and, if it came from there, the variable.

pub mod database;
mod env;
mod http;
mod live;
mod media;
mod node;
mod open;
mod overlay;
pub mod queue;
mod rates;
mod report;
mod secrets;
mod settings;
mod size;
pub mod tls;
mod traces;

use std::path::{Path, PathBuf};

use figment::{
    Figment,
    providers::{Format as _, Serialized, Toml},
};

pub use database::{DatabaseTarget, DatabaseType, PostgresTarget};
pub use env::ClockRate;
pub use overlay::ProgramConfig;
pub use report::report;
pub use settings::{DashboardSetting, LogFormat, ServerRole, Settings};

/// Every setting with its default; the same text users read.
pub const DEFAULTS: &str = include_str!("../../../../config.default.toml");

/// Looks up an environment variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One line that names the setting.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// The process's own environment.
pub fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads everything. `file` is the one named on the command line; without it `waypost.toml` is read if it exists.
///
/// # Errors
/// One line that names what to change.
pub fn load(file: Option<&Path>, env: Env<'_>) -> Result<Settings, ConfigError> {
    load_for(None, file, env)
}

/// Like [`load`], with the role that the command line names, if it names one.
///
/// # Errors
/// One line that names what to change.
pub fn load_for(
    role: Option<ServerRole>,
    file: Option<&Path>,
    env: Env<'_>,
) -> Result<Settings, ConfigError> {
    let overlay = overlay::read(&overlay::path(file, env)?)?;
    load_with(role, file, env, &overlay)
}

/// Like [`load_for`], with this in the place of the file of changed settings.
fn load_with(
    role: Option<ServerRole>,
    file: Option<&Path>,
    env: Env<'_>,
    overlay: &str,
) -> Result<Settings, ConfigError> {
    let figment = layers(file, env, overlay)?;
    let mut settings: Settings =
        figment.extract().map_err(|error| ConfigError(describe(&error)))?;
    settings.secrets = secrets::secrets(env)?;
    settings.clock_rate = env::clock_rate(env)?;
    settings.hold_rows = env::hold_rows(env)?;
    settings.failpoint = env::failpoint(env)?;
    settings.server.role = role.unwrap_or(settings.server.role);
    settings.check()?;
    settings.check_origins(env::set(env, "NODE_ENV").as_deref() == Some("production"))?;
    Ok(settings)
}

/// Where the value of a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum SettingOrigin {
    Default,
    /// Another default, by `NODE_ENV=production`.
    Production,
    /// The configuration file.
    File(PathBuf),
    /// The file of what was changed by the API.
    Changed,
    /// The variable of this name.
    Environment(&'static str),
}

/// The settings of one origin.
type SettingLayer = (SettingOrigin, Figment);

/// Defaults, the file, what was changed by the API, and the environment, each over the one before.
fn layers(file: Option<&Path>, env: Env<'_>, overlay: &str) -> Result<Figment, ConfigError> {
    Ok(merged(origins(file, env, overlay)?.into_iter()))
}

fn merged(layers: impl Iterator<Item = SettingLayer>) -> Figment {
    layers.fold(Figment::new(), |under, (_, layer)| under.merge(layer))
}

/// The layers one by one, the lowest first.
fn origins(
    file: Option<&Path>,
    env: Env<'_>,
    overlay: &str,
) -> Result<Vec<SettingLayer>, ConfigError> {
    let mut layers = vec![
        (SettingOrigin::Default, Figment::from(Toml::string(DEFAULTS))),
        (SettingOrigin::Production, Figment::from(env::production_defaults(env))),
    ];
    if let Some(path) = config_file(file, env)? {
        let text = std::fs::read_to_string(&path)
            .map_err(|error| ConfigError(format!("{}: cannot be read: {error}", path.display())))?;
        // Parsed once by itself, so that a mistake names the file and the line.
        toml::from_str::<toml::Table>(&text).map_err(|error| {
            ConfigError(format!("{}: {}", path.display(), one_line(&error.to_string())))
        })?;
        layers.push((SettingOrigin::File(path), Figment::from(Toml::string(&text))));
    }
    layers.push((SettingOrigin::Changed, Figment::from(Toml::string(overlay))));
    for (name, path, value) in env::overrides(env)? {
        let layer = Figment::from(Serialized::default(path, value));
        layers.push((SettingOrigin::Environment(name), layer));
    }
    Ok(layers)
}

/// Only the defaults, for the sandbox: a configuration meant for the real network must not reach it.
pub fn load_defaults() -> Result<Settings, ConfigError> {
    Figment::from(Toml::string(DEFAULTS)).extract().map_err(|error| ConfigError(describe(&error)))
}

fn config_file(named: Option<&Path>, env: Env<'_>) -> Result<Option<PathBuf>, ConfigError> {
    let named =
        named.map(Path::to_path_buf).or_else(|| env::set(env, "WAYPOST_CONFIG").map(PathBuf::from));
    match named {
        Some(path) if !path.is_file() => {
            Err(ConfigError(format!("{}: no such configuration file", path.display())))
        }
        Some(path) => Ok(Some(path)),
        None => Ok(Some(PathBuf::from("waypost.toml")).filter(|path| path.is_file())),
    }
}

fn describe(error: &figment::Error) -> String {
    let path = error.path.join(".");
    let setting = if path.is_empty() { "configuration".to_owned() } else { path };
    format!("{setting}: {}", one_line(&error.kind.to_string()))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn with(vars: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let vars: Vec<(String, String)> =
            vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        load(None, &move |name| {
            vars.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
        })
    }

    /// How many settings the defaults file has.
    pub(super) fn lines_of_defaults() -> usize {
        let table: toml::Table = toml::from_str(DEFAULTS).unwrap();
        table.values().map(|names| names.as_table().unwrap().len()).sum()
    }

    fn file(text: &str) -> Result<Settings, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("waypost.toml");
        std::fs::write(&path, text).unwrap();
        load(Some(&path), &|_| None)
    }

    #[test]
    fn defaults_are_complete_and_valid() {
        let settings = with(&[]).unwrap();
        assert_eq!(settings.server.port, 2785);
        assert_eq!(settings.body_limit_bytes(), 25 * 1024 * 1024);
        assert!(settings.webhooks.ssrf_protect);
    }

    #[test]
    fn openwas_variables_work() {
        let settings = with(&[
            ("PORT", "3000"),
            ("WEBHOOK_TIMEOUT", "2500"),
            ("SSRF_ALLOWED_HOSTS", "hooks.internal, 10.0.0.7"),
            ("WEBHOOK_SSRF_PROTECT", "false"),
            ("BODY_SIZE_LIMIT", "1mb"),
        ])
        .unwrap();
        assert_eq!(settings.server.port, 3000);
        assert_eq!(settings.webhooks.timeout_ms, 2500);
        assert_eq!(settings.webhooks.allowed_hosts, ["hooks.internal", "10.0.0.7"]);
        assert!(!settings.webhooks.ssrf_protect);
        assert_eq!(settings.body_limit_bytes(), 1024 * 1024);
    }

    #[test]
    fn an_empty_list_of_numbers_switches_a_rule_off_and_other_empty_variables_are_not_set() {
        let settings = with(&[("SEND_PACING_COLD_DAILY_CAP", ""), ("PORT", "")]).unwrap();
        assert_eq!((settings.server.port, settings.pacing.cold_daily_cap.len()), (2785, 0));
        assert_eq!(with(&[]).unwrap().pacing.cold_daily_cap.len(), 7);
    }

    #[test]
    fn production_hides_details_unless_asked() {
        let production = with(&[("NODE_ENV", "production")]).unwrap();
        assert!(!production.server.docs && !production.server.validation_detail);
        let asked = with(&[("NODE_ENV", "production"), ("ENABLE_SWAGGER", "true")]).unwrap();
        assert!(asked.server.docs);
    }

    #[test]
    fn mistakes_are_one_line_that_names_the_setting() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("PORT", "abc")], "PORT"),
            (&[("PORT", "70000")], "PORT"),
            (&[("WEBHOOK_TIMEOUT", "0")], "webhooks.timeout_ms"),
            (&[("WEBHOOK_SSRF_PROTECT", "maybe")], "WEBHOOK_SSRF_PROTECT"),
            (&[("LOG_LEVEL", "loud")], "log.level"),
            (&[("BODY_SIZE_LIMIT", "many")], "server.body_size_limit"),
            (&[("TRUSTED_PROXIES", "here")], "server.trusted_proxies"),
            (
                &[("DATABASE_TYPE", "mysql")],
                "DATABASE_TYPE: must be sqlite or postgres, not \"mysql\"",
            ),
            (&[("WAYPOST_ROLE", "boss")], "WAYPOST_ROLE: must be all or worker, not \"boss\""),
            (&[("WAYPOST_ROLE", "worker")], "server.role: a worker needs DATABASE_TYPE=postgres"),
            (&[("DATABASE_POOL_SIZE", "0")], "database.pool_size"),
            (&[("DATABASE_TYPE", "postgres"), ("DATABASE_PORT", "0")], "database.port"),
            (&[("DATABASE_TYPE", "postgres"), ("DATABASE_HOST", "my host")], "database.host"),
            (&[("DATABASE_TYPE", "postgres"), ("DATABASE_NAME", "./a/b")], "database.name"),
            (&[("DATABASE_TYPE", "postgres"), ("POSTGRES_SCHEMA", "My-Own")], "database.schema"),
            (&[("DATABASE_TYPE", "postgres"), ("DATABASE_SSL", "yes")], "DATABASE_SSL"),
            (&[("DATABASE_TYPE", "postgres"), ("DATABASE_SSL_CA", "x")], "database.ssl is false"),
            (&[("QUEUE_ENABLED", "perhaps")], "QUEUE_ENABLED"),
            (&[("QUEUE_ENABLED", "true"), ("REDIS_HOST", "a/b")], "redis.host"),
            (&[("QUEUE_ENABLED", "true"), ("REDIS_PORT", "0")], "redis.port"),
            (&[("QUEUE_ENABLED", "true"), ("REDIS_USERNAME", "me")], "REDIS_USERNAME"),
            (&[("QUEUE_ENABLED", "true"), ("REDIS_TLS_CA", "x")], "redis.tls is false"),
            (
                &[("QUEUE_ENABLED", "true"), ("REDIS_TLS", "true"), ("REDIS_TLS_CA", "/no/such")],
                "redis.tls_ca: cannot read /no/such",
            ),
            (&[("WEBHOOK_TLS_CA", "/no/such")], "webhooks.tls_ca: cannot read /no/such"),
            (&[("WEBHOOK_TLS_CA", "Cargo.toml")], "webhooks.tls_ca: Cargo.toml holds no PEM"),
            (&[("SESSION_PROXY_URL_FETCH", "maybe")], "SESSION_PROXY_URL_FETCH"),
            (&[("REDIS_CONNECT_TIMEOUT_MS", "1")], "redis.connect_timeout_ms"),
            (&[("HEADERS_TIMEOUT_MS", "0")], "http.headers_timeout_ms"),
            (&[("REQUEST_TIMEOUT_MS", "0")], "http.request_timeout_ms"),
            (&[("KEEPALIVE_TIMEOUT_MS", "1")], "http.keepalive_timeout_ms"),
            (&[("WAYPOST_CONNECTIONS_MAX", "0")], "http.connections_max"),
            (&[("RATE_LIMIT_SHORT_TTL", "0")], "rate_limit.short_ttl_ms"),
            (&[("API_KEY_PEPPER", "short")], "API_KEY_PEPPER"),
            (&[("INFLIGHT_BODY_BUDGET_BYTES", "4096")], "http.inflight_body_budget_bytes"),
            (&[("NODE_URL", "10.0.0.2:2785")], "node.url (NODE_URL): must be"),
            (&[("NODE_URL", "ftp://10.0.0.2")], "node.url (NODE_URL): must be"),
            (&[("NODE_URL", "http://me:secret@10.0.0.2")], "node.url (NODE_URL): must be"),
            (&[("NODE_URL", "http://10.0.0.2/?a=b")], "node.url (NODE_URL): must be"),
            (&[("NODE_ID", "a;b")], "node.id (NODE_ID): must be"),
            (&[("SESSION_PROXY_TIMEOUT_MS", "5")], "node.answer_limit_ms"),
            (&[("WAYPOST_MASTER_KEY", "short")], "WAYPOST_MASTER_KEY"),
            (&[("API_MASTER_KEY", "short")], "API_MASTER_KEY"),
            (&[("WAYPOST_WHATSAPP_URL", "http://x")], "whatsapp.url"),
            (&[("WAYPOST_CLIENT_VERSION", "new")], "whatsapp.client_version"),
            (&[("WAYPOST_HOST", "everywhere")], "server.host"),
            (&[("SEND_PACING_WARMUP_SCHEDULE", "20,many")], "SEND_PACING_WARMUP_SCHEDULE"),
            (&[("SEND_PACING_WARMUP_SCHEDULE", "")], "pacing.warmup_schedule"),
            (&[("SEND_PACING_COLD_DAILY_CAP", "0")], "pacing.cold_daily_cap"),
            (&[("SEND_PACING_BREAKER_COOLDOWN_MS", "10")], "pacing.breaker_cooldown_ms"),
            (&[("MEDIA_DOWNLOAD_MAX_BYTES", "0")], "media.bytes_max"),
            (&[("WAYPOST_HOLD_ROWS_MS", "60")], "WAYPOST_HOLD_ROWS_MS"),
            (&[("WAYPOST_CLOCK_RATE", "0@1000")], "WAYPOST_CLOCK_RATE"),
            (&[("WAYPOST_FAILPOINT", "after:send:1")], "WAYPOST_FAILPOINT"),
            (&[("WAYPOST_FAILPOINT", "x"), ("WAYPOST_TEST_SWITCHES", "true")], "WAYPOST_FAILPOINT"),
            (&[("WAYPOST_CLOCK_RATE", "1001@1000")], "WAYPOST_CLOCK_RATE"),
            (&[("WAYPOST_CLOCK_RATE", "20")], "WAYPOST_CLOCK_RATE"),
            (&[("WAYPOST_CLOCK_RATE", "20@-5")], "WAYPOST_CLOCK_RATE"),
        ];
        for (vars, name) in cases {
            let error = with(vars).unwrap_err().to_string();
            assert!(error.contains(name), "{error} should name {name}");
            assert!(!error.contains('\n'), "{error}");
        }
        for (text, name) in [
            ("[server]\nprot = 1", "prot"),
            ("[server]\nport = \"x\"", "server.port"),
            ("[nonsense]\na = 1", "nonsense"),
            ("[database]\ntype = \"mysql\"", "database.type"),
            ("[database]\npassword = \"in a file\"", "password"),
            ("[server", "waypost.toml"),
        ] {
            let error = file(text).unwrap_err().to_string();
            assert!(error.contains(name), "{error} should name {name}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_base_path_leads_nowhere_else() {
        for path in ["", "/waypost", "/a/b-c_d.e~f"] {
            assert!(with(&[("WAYPOST_BASE_PATH", path)]).is_ok(), "{path}");
        }
        for path in
            ["/", "way", "/way/", "//evil.example", "/a//b", "/a/..", "/./a", "/a b", "/a;b"]
        {
            let error = with(&[("WAYPOST_BASE_PATH", path)]).unwrap_err().to_string();
            assert!(error.contains("server.base_path"), "{path}: {error}");
        }
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let env = |name: &str| match name {
            "DATABASE_TYPE" => Some("postgres".to_owned()),
            "WAYPOST_ROLE" => Some("worker".to_owned()),
            _ => None,
        };
        assert_eq!(load(None, &env).unwrap().server.role, ServerRole::Worker);
        assert_eq!(
            load_for(Some(ServerRole::All), None, &env).unwrap().server.role,
            ServerRole::All
        );
        assert_eq!(with(&[]).unwrap().server.role, ServerRole::All);
        assert!(load_for(Some(ServerRole::Worker), None, &|_| None).is_err());
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.toml");
        std::fs::write(&path, "[server]\nport = 1000\nhost = \"0.0.0.0\"").unwrap();
        let settings =
            load(Some(&path), &|name| (name == "PORT").then(|| "2000".to_owned())).unwrap();
        assert_eq!((settings.server.port, settings.server.host.as_str()), (2000, "0.0.0.0"));
    }

    #[test]
    fn every_variable_is_named_in_the_defaults_file() {
        for name in env::names() {
            assert!(DEFAULTS.contains(&format!("[{name}]")), "{name}");
        }
    }
}
