//! What `waypost check-config` prints: the settings in force as TOML, each with where it comes from.

use std::{fmt::Write as _, path::Path};

use serde_json::Value;
use url::Url;

use super::{ConfigError, DEFAULTS, Env, SettingLayer, SettingOrigin, load, merged, origins};
use super::{overlay, secrets};

const HEAD: &str = "\
# The settings in force, and where each comes from. As a configuration file this text gives the same settings.
";
const SECRETS: &str = "
# Secrets come from the environment alone, as text or as the path of a file:
";
/// Behind a shorter setting its origin begins at this column.
const COLUMN: usize = 44;

/// The settings of a file and an environment, if the program would start with them.
///
/// # Errors
/// One line that names what to change.
pub fn report(file: Option<&Path>, env: Env<'_>) -> Result<String, ConfigError> {
    load(file, env)?;
    let changed = overlay::path(file, env)?;
    let layers = origins(file, env, &overlay::read(&changed)?)?;
    let values = overlay::shown(&merged(layers.iter().cloned()))?;
    let mut text = HEAD.to_owned();
    let mut section = "";
    // In the order of the file that explains them.
    for line in DEFAULTS.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
            push(&mut text, format_args!("\n[{name}]"));
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            let path = format!("{section}.{name}");
            let setting = format!("{name} = {}", toml_text(&path, &values[section][name])?);
            let origin = words(origin(&layers, &path), &changed);
            push(&mut text, format_args!("{setting:<COLUMN$} # {origin}"));
        }
    }
    text.push_str(SECRETS);
    for (name, variable) in secrets::secret_origins(env) {
        match variable {
            Some(variable) => {
                let setting = format!("# {name} = \"***\"");
                push(&mut text, format_args!("{setting:<COLUMN$} # environment: {variable}"));
            }
            None => push(&mut text, format_args!("# {name} is not set")),
        }
    }
    Ok(text)
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    // A string takes every text.
    let _ = writeln!(text, "{line}");
}

/// The highest layer that says something of a setting.
fn origin<'a>(layers: &'a [SettingLayer], path: &str) -> &'a SettingOrigin {
    let mut from_above = layers.iter().rev();
    let found = from_above.find(|(_, layer)| layer.contains(path));
    found.map_or(&SettingOrigin::Default, |(origin, _)| origin)
}

fn words(origin: &SettingOrigin, changed: &Path) -> String {
    match origin {
        SettingOrigin::Default => "default".to_owned(),
        SettingOrigin::Production => "default with NODE_ENV=production".to_owned(),
        SettingOrigin::File(path) => format!("file: {}", path.display()),
        SettingOrigin::Changed => format!("changed by the API: {}", changed.display()),
        SettingOrigin::Environment(name) => format!("environment: {name}"),
    }
}

fn toml_text(path: &str, value: &Value) -> Result<String, ConfigError> {
    let value = match value {
        Value::String(text) => toml::Value::try_from(without_password(text)),
        value => toml::Value::try_from(value),
    };
    value
        .map(|value| value.to_string())
        .map_err(|error| ConfigError(format!("{path}: cannot be shown: {error}")))
}

/// No setting is a secret, but an address may have one in it.
fn without_password(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if url.password().is_some() => {
            // A URL that has one may have another.
            let _ = url.set_password(Some("***"));
            url.into()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{env, tests::lines_of_defaults};

    const SECRET: &str = "a-long-secret-key-0123";

    /// What is printed with a configuration file, and variables beside the one of the data folder.
    fn printed(folder: &Path, text: &str, vars: &[(&str, &str)]) -> Result<String, ConfigError> {
        let file = folder.join("mine.toml");
        std::fs::write(&file, text).unwrap();
        let data = folder.join("data").display().to_string();
        report(Some(&file), &|name| match name {
            "WAYPOST_DATA_DIR" => Some(data.clone()),
            name => vars.iter().find(|(key, _)| *key == name).map(|(_, text)| (*text).to_owned()),
        })
    }

    /// The line of a setting.
    fn line<'a>(text: &'a str, path: &str) -> &'a str {
        let (section, name) = path.split_once('.').unwrap();
        let inside = text.split(&format!("\n[{section}]\n")).nth(1).unwrap();
        let begin = format!("{name} = ");
        let line = inside.lines().find(|line| line.starts_with(&begin));
        line.unwrap_or_else(|| panic!("{path} is not in {text}"))
    }

    #[test]
    fn every_setting_says_where_it_comes_from() {
        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("token");
        std::fs::write(&token, SECRET).unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        let changed = dir.path().join("data/changed-settings.toml");
        std::fs::write(&changed, "[live]\nclients_max = 7\n").unwrap();
        let file = "[server]\nport = 1000\nbase_path = \"/post\"\n[live]\nclients_max = 8\n";
        let vars = [
            ("PORT", "2000"),
            ("NODE_ENV", "production"),
            ("SSRF_ALLOWED_HOSTS", "hooks.internal, 10.0.0.7"),
            ("SEND_PACING_COLD_DAILY_CAP", ""),
            ("WAYPOST_WHATSAPP_URL", "wss://me:hush@web.example/chat"),
            ("API_MASTER_KEY", SECRET),
            ("METRICS_TOKEN_FILE", token.to_str().unwrap()),
        ];
        let text = printed(dir.path(), file, &vars).unwrap();
        let mine = format!("# file: {}", dir.path().join("mine.toml").display());
        let changed = format!("# changed by the API: {}", changed.display());
        for (path, value, origin) in [
            ("server.port", "2000", "# environment: PORT"),
            ("server.base_path", "\"/post\"", mine.as_str()),
            ("server.docs", "false", "# default with NODE_ENV=production"),
            ("server.body_size_limit", "\"25mb\"", "# default"),
            ("live.clients_max", "7", changed.as_str()),
            (
                "webhooks.allowed_hosts",
                "[\"hooks.internal\", \"10.0.0.7\"]",
                "# environment: SSRF_ALLOWED_HOSTS",
            ),
            ("pacing.cold_daily_cap", "[]", "# environment: SEND_PACING_COLD_DAILY_CAP"),
        ] {
            let line = line(&text, path);
            assert!(line.contains(&format!(" = {value} ")), "{line}");
            assert!(line.ends_with(origin), "{line}");
        }
        assert!(!text.contains(SECRET) && !text.contains("hush"), "{text}");
        let secret = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(secret("# API_MASTER_KEY = ").ends_with("# environment: API_MASTER_KEY"));
        assert!(secret("# METRICS_TOKEN = ").ends_with("# environment: METRICS_TOKEN_FILE"));
        assert_eq!(secret("# REDIS_PASSWORD"), "# REDIS_PASSWORD is not set");
    }

    #[test]
    fn what_is_printed_is_a_configuration_file_for_the_same_settings() {
        let dir = tempfile::tempdir().unwrap();
        let first = printed(dir.path(), "[log]\nlevel = \"warn\"\n", &[("PORT", "2000")]).unwrap();
        let second = printed(dir.path(), &first, &[]).unwrap();
        let values = |text: &str| toml::from_str::<toml::Table>(text).unwrap();
        assert_eq!(values(&first), values(&second));
        assert_eq!(values(&first)["server"]["port"].as_integer(), Some(2000));
        let sizes = values(&first);
        let sizes = sizes.values().map(|names| names.as_table().unwrap().len());
        let settings: usize = sizes.sum();
        assert_eq!(lines_of_defaults(), settings, "a setting is missing");
        assert!(settings >= env::names().count());
    }

    #[test]
    fn a_bad_configuration_is_one_line_that_names_the_setting() {
        let dir = tempfile::tempdir().unwrap();
        for (file, vars, word) in [
            ("", [("PORT", "abc")], "PORT: "),
            ("[webhooks]\ntimeout_ms = 0", [("PORT", "1")], "webhooks.timeout_ms: "),
            ("", [("METRICS_TOKEN_FILE", "/no/such")], "METRICS_TOKEN_FILE: "),
            ("[server]\nprot = 1", [("PORT", "1")], "prot"),
        ] {
            let error = printed(dir.path(), file, &vars).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains('\n'), "{error}");
        }
    }
}
