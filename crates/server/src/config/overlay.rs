//! Settings that were changed by the API: a small file in the data folder, over the configuration file and under the
//! environment. The next start reads it.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::{ConfigRefused, Installation, InstallationFacts, SavedConfig, ShownConfig};
use figment::Figment;
use serde_json::{Map, Value};
use tokio::sync::Notify;

use super::{ConfigError, Settings, describe, env, layers, load_with, one_line, secrets};

/// The file in the data folder.
const FILE_NAME: &str = "changed-settings.toml";
/// What only the configuration file and the environment decide: where this file lies.
const NEVER: [&str; 2] = ["data.dir", "data.key_file"];

type OwnedEnv = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Where changed settings are kept.
///
/// # Errors
/// The configuration cannot be read as far as the data folder.
pub fn path(file: Option<&Path>, env: super::Env<'_>) -> Result<PathBuf, ConfigError> {
    let figment = layers(file, env, "")?;
    let dir: PathBuf =
        figment.extract_inner("data.dir").map_err(|error| ConfigError(describe(&error)))?;
    Ok(dir.join(FILE_NAME))
}

/// The text of the file; empty when there is none.
///
/// # Errors
/// It cannot be read, or is no TOML.
pub fn read(path: &Path) -> Result<String, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => {
            return Err(ConfigError(format!("{}: cannot be read: {error}", path.display())));
        }
        Ok(text) => text,
    };
    toml::from_str::<toml::Table>(&text).map_err(|error| {
        ConfigError(format!("{}: {}", path.display(), one_line(&error.to_string())))
    })?;
    Ok(text)
}

/// The settings that this process runs with, and the file of those that the next start takes.
pub struct ProgramConfig {
    file: Option<PathBuf>,
    env: OwnedEnv,
    path: PathBuf,
    /// As it started.
    running: Value,
    facts: InstallationFacts,
    restart: Arc<Notify>,
}

impl ProgramConfig {
    /// Of settings that were loaded from the same file and environment.
    ///
    /// # Errors
    /// They cannot be loaded again.
    pub fn new(
        settings: &Settings,
        file: Option<&Path>,
        env: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        let path = path(file, &env)?;
        let running = shown(&layers(file, &env, &read(&path)?)?)?;
        let pinned = env::pinned(&env);
        Ok(Self {
            file: file.map(Path::to_path_buf),
            path,
            running,
            facts: InstallationFacts {
                queue: settings.queue.enabled,
                storage_path: settings.media_dir().display().to_string(),
                library: whatsapp::LIBRARY,
                env_pinned: pinned.into_iter().map(|(name, _)| name.to_owned()).collect(),
            },
            env: Arc::new(env),
            restart: Arc::default(),
        })
    }

    /// Completes when a restart was asked for.
    pub async fn restart_asked(&self) {
        self.restart.notified().await;
    }

    /// Settings that a text of the file makes other ones than this process runs with.
    fn waiting(&self, overlay: &str) -> Result<Vec<String>, ConfigError> {
        let next = shown(&layers(self.file.as_deref(), &*self.env, overlay)?)?;
        let mut waiting = vec![];
        for (section, names) in next.as_object().into_iter().flatten() {
            for (name, value) in names.as_object().into_iter().flatten() {
                if self.running[section][name] != *value {
                    waiting.push(format!("{section}.{name}"));
                }
            }
        }
        Ok(waiting)
    }

    /// The text of the file with changes in it, and the settings that they name.
    fn changed(&self, changes: &Map<String, Value>) -> Result<(String, Vec<String>), ConfigError> {
        let text = read(&self.path)?;
        let mut table: toml::Table =
            toml::from_str(&text).map_err(|error| ConfigError(one_line(&error.to_string())))?;
        let mut named = vec![];
        for (path, value) in flat(changes)? {
            let Some((section, name)) = path.split_once('.') else {
                return Err(ConfigError(format!("{path}: there is no such setting")));
            };
            if self.running[section].get(name).is_none() {
                return Err(ConfigError(format!("{path}: there is no such setting")));
            }
            if NEVER.contains(&path.as_str()) {
                return Err(ConfigError(format!(
                    "{path}: only the configuration file or the environment sets it"
                )));
            }
            let names =
                table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            let Some(names) = names.as_table_mut() else {
                return Err(ConfigError(format!("{section}: is no section in the file")));
            };
            match value {
                Value::Null => drop(names.remove(name)),
                value => {
                    let value = toml::Value::try_from(value)
                        .map_err(|error| ConfigError(format!("{path}: {error}")))?;
                    names.insert(name.to_owned(), value);
                }
            }
            named.push(path);
        }
        table.retain(|_, names| names.as_table().is_none_or(|names| !names.is_empty()));
        let head = "# Settings that were changed by the API. They win over the configuration file; variables of the \
                    environment win over them.\n";
        let text =
            toml::to_string_pretty(&table).map_err(|error| ConfigError(error.to_string()))?;
        Ok((format!("{head}{text}"), named))
    }

    /// In one step: a start finds the old file or the new one.
    fn write(&self, text: &str) -> std::io::Result<()> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let beside = self.path.with_extension("toml.new");
        let mut options = std::fs::File::options();
        options.create(true).truncate(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)
    }
}

/// Changes as `section.name` and value, whether they come by section, by path or by variable.
fn flat(changes: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ConfigError> {
    let mut found = BTreeMap::new();
    for (name, value) in changes {
        if let Some((path, value)) = env::setting(name, value)? {
            found.insert(path.to_owned(), value);
            continue;
        }
        match value {
            Value::Object(names) => {
                let of_section =
                    names.iter().map(|(key, value)| (format!("{name}.{key}"), value.clone()));
                found.extend(of_section);
            }
            value => drop(found.insert(name.clone(), value.clone())),
        }
    }
    Ok(found)
}

/// All settings as JSON.
fn shown(figment: &Figment) -> Result<Value, ConfigError> {
    figment.extract().map_err(|error| ConfigError(describe(&error)))
}

impl From<ConfigError> for ConfigRefused {
    fn from(ConfigError(why): ConfigError) -> Self {
        Self::Wrong(why)
    }
}

impl Installation for ProgramConfig {
    fn facts(&self) -> InstallationFacts {
        self.facts.clone()
    }

    fn config(&self) -> Result<ShownConfig, ConfigRefused> {
        let overlay = read(&self.path).map_err(|ConfigError(why)| ConfigRefused::Unwritten(why))?;
        Ok(ShownConfig {
            settings: self.running.as_object().cloned().unwrap_or_default(),
            secrets: secrets::secrets_set(&*self.env),
            path: self.path.display().to_string(),
            waiting: self.waiting(&overlay)?,
        })
    }

    fn save(&self, changes: &Map<String, Value>) -> Result<SavedConfig, ConfigRefused> {
        let (text, named) = self.changed(changes)?;
        load_with(None, self.file.as_deref(), &*self.env, &text)?;
        self.write(&text).map_err(|error| ConfigRefused::Unwritten(error.to_string()))?;
        let pinned = env::pinned(&*self.env).into_iter();
        let pinned = pinned.filter(|(_, path)| named.iter().any(|name| name == path));
        Ok(SavedConfig {
            waiting: self.waiting(&text)?,
            pinned: pinned.map(|(_, path)| path.to_owned()).collect(),
        })
    }

    fn restart(&self) {
        self.restart.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::load;

    /// A data folder, and variables beside the one that names it.
    fn program(vars: &[(&'static str, &'static str)]) -> (tempfile::TempDir, ProgramConfig) {
        let dir = tempfile::tempdir().unwrap();
        let env = env_of(dir.path(), vars);
        let settings = load(None, &env).unwrap();
        let program = ProgramConfig::new(&settings, None, env).unwrap();
        (dir, program)
    }

    fn env_of(
        dir: &Path,
        vars: &[(&'static str, &'static str)],
    ) -> impl Fn(&str) -> Option<String> + Send + Sync + 'static {
        let mut vars: Vec<(String, String)> =
            vars.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        vars.push(("WAYPOST_DATA_DIR".into(), dir.display().to_string()));
        move |name| vars.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    fn changes(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_change_counts_from_the_next_start_on() {
        let (dir, program) = program(&[("WEBHOOK_TIMEOUT", "9000")]);
        let saved = program
            .save(&changes(json!({
                "webhooks": { "timeout_ms": 2500, "concurrency": 7 },
                "LOG_LEVEL": "debug",
                "media.bytes_max": 4096,
            })))
            .unwrap();
        assert_eq!(saved.waiting, ["log.level", "media.bytes_max", "webhooks.concurrency"]);
        assert_eq!(saved.pinned, ["webhooks.timeout_ms"]);
        let shown = program.config().unwrap();
        assert_eq!(shown.settings["log"]["level"], "info", "as it runs");
        assert_eq!(shown.waiting, saved.waiting);
        let next = load(None, &env_of(dir.path(), &[("WEBHOOK_TIMEOUT", "9000")])).unwrap();
        assert_eq!((next.log.level.as_str(), next.webhooks.concurrency), ("debug", 7));
        assert_eq!((next.media.bytes_max, next.webhooks.timeout_ms), (4096, 9000));
        // Taken back.
        let saved = program.save(&changes(json!({ "log": { "level": null } }))).unwrap();
        assert_eq!(saved.waiting, ["media.bytes_max", "webhooks.concurrency"]);
    }

    #[test]
    fn wrong_changes_are_refused_and_nothing_is_written() {
        let (dir, program) = program(&[("API_MASTER_KEY", "a-long-secret-key-0123")]);
        for (wrong, word) in [
            (json!({ "webhooks": { "timeout_ms": 0 } }), "webhooks.timeout_ms"),
            (json!({ "webhooks": { "timeout_ms": "soon" } }), "webhooks.timeout_ms"),
            (json!({ "webhooks": { "tiemout": 1 } }), "webhooks.tiemout"),
            (json!({ "nonsense": 1 }), "nonsense"),
            (json!({ "PORT": "abc" }), "PORT"),
            (json!({ "data": { "dir": "/elsewhere" } }), "data.dir"),
            (json!({ "API_MASTER_KEY": "another-long-secret" }), "API_MASTER_KEY"),
            (
                json!({ "log": { "level": "debug" }, "live": { "clients_max": 99_999 } }),
                "live.clients_max",
            ),
        ] {
            let refused = program.save(&changes(wrong)).unwrap_err().to_string();
            assert!(refused.contains(word), "{refused} should name {word}");
        }
        assert!(!dir.path().join(FILE_NAME).exists());
        let shown = program.config().unwrap();
        assert_eq!(
            (shown.secrets["API_MASTER_KEY"], shown.secrets["METRICS_TOKEN"]),
            (true, false)
        );
        let text = serde_json::to_string(&shown.settings).unwrap();
        assert!(!text.contains("a-long-secret-key"), "{text}");
    }

    #[test]
    fn a_damaged_file_stops_the_start_and_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE_NAME), "[log").unwrap();
        let error = load(None, &env_of(dir.path(), &[])).unwrap_err().to_string();
        assert!(error.contains(FILE_NAME), "{error}");
    }

    #[test]
    fn the_library_is_the_one_that_is_built_in() {
        let (name, version) = whatsapp::LIBRARY;
        let manifest = include_str!("../../../../Cargo.toml");
        assert!(manifest.contains(&format!("{name} = {{ version = \"={version}\"")));
    }
}
