//! Reads a manifest as a whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    time::Duration,
};

use serde_json::Value;

use super::{
    BUDGET_DEFAULT, BUDGET_MAX, BUDGET_MIN, MANIFEST_BYTES_MAX, Manifest, ManifestError,
    OPENWA_VERSION, Permission, ingress, net,
};
use crate::{
    hook::{HookPoint, OnFailure},
    ids::SessionId,
    plugin::{PluginId, config::ConfigSchema, reading::Fields},
};

/// Names that OpenWA keeps for parts of its own.
const RESERVED_IDS: &[&str] = &["whatsapp-web.js", "baileys", "auto-reply", "translation"];
const NAME_CHARS_MAX: usize = 200;
const VERSION_CHARS_MAX: usize = 64;
const PATH_CHARS_MAX: usize = 256;

pub(super) fn manifest(raw: &Value) -> Result<Manifest, ManifestError> {
    if raw.to_string().len() > MANIFEST_BYTES_MAX {
        return Err(ManifestError("the manifest is larger than 256 KiB".to_owned()));
    }
    let fields = Fields::of("", raw)?;
    let id = id(&fields)?;
    let (name, version) =
        (short(&fields, "name", NAME_CHARS_MAX)?, short(&fields, "version", VERSION_CHARS_MAX)?);
    kind(&fields)?;
    let main = path(&fields, "main")?.ok_or_else(|| fields.wrong("main", "is missing"))?;
    sdk(&fields)?;
    host_version(&fields)?;
    // Handlers are registered by the code; the list here is only checked.
    hooks(&fields)?;
    let permissions = permissions(&fields)?;
    let config_ui = fields.object("configUi")?.map(|page| path(&page, "entry")).transpose()?;
    Ok(Manifest {
        id,
        name,
        version,
        main,
        sessions: sessions(&fields)?,
        session_scoped: fields.flag("sessionScoped", true)?,
        net: net::read(&fields)?,
        ingress: ingress::read(&fields, &permissions)?,
        permissions,
        config_schema: fields.value("configSchema").map(ConfigSchema::read).transpose()?,
        config_ui: config_ui.flatten(),
        on_failure: on_failure(&fields)?,
        budget: budget(&fields)?,
        raw: raw.clone(),
    })
}

fn id(fields: &Fields<'_>) -> Result<PluginId, ManifestError> {
    let text = fields.required("id")?;
    let id: PluginId =
        text.parse().map_err(|error| fields.wrong("id", format!("is refused: {error}")))?;
    match RESERVED_IDS.contains(&id.as_str()) {
        true => Err(fields.wrong("id", format!("is refused: {id} is reserved, choose another"))),
        false => Ok(id),
    }
}

fn short(fields: &Fields<'_>, name: &str, chars_max: usize) -> Result<String, ManifestError> {
    let text = fields.required(name)?;
    match text.chars().count() <= chars_max {
        true => Ok(text.to_owned()),
        false => Err(fields.wrong(name, format!("is longer than {chars_max} characters"))),
    }
}

fn kind(fields: &Fields<'_>) -> Result<(), ManifestError> {
    match fields.required("type")? {
        "extension" => Ok(()),
        _ => Err(fields.wrong("type", "must be extension: others cannot be installed")),
    }
}

/// A path within the package, without dots of its own.
fn path(fields: &Fields<'_>, name: &str) -> Result<Option<String>, ManifestError> {
    let Some(text) = fields.filled(name)? else { return Ok(None) };
    let parts: Vec<&str> = text.split('/').filter(|part| *part != ".").collect();
    let odd = text.contains('\\') || text.contains(char::is_control);
    let bad = parts.is_empty() || parts.iter().any(|part| part.is_empty() || *part == "..");
    if odd || bad || text.chars().count() > PATH_CHARS_MAX {
        let fault = "must be the path of a file in the package, like dist/index.js: relative, without .. \
                     and backslashes";
        return Err(fields.wrong(name, fault));
    }
    Ok(Some(parts.join("/")))
}

fn sdk(fields: &Fields<'_>) -> Result<(), ManifestError> {
    let version = match fields.value("sdkVersion") {
        None => return Ok(()),
        Some(Value::String(text)) => text.trim().to_owned(),
        // OpenWA fails on a number; what is meant is plain.
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err(fields.wrong("sdkVersion", "must be a text, like 1 or 1.2")),
    };
    match version.split('.').next() {
        Some("1") => Ok(()),
        _ => Err(fields.wrong("sdkVersion", format!("is {version}: only 1 is spoken here"))),
    }
}

fn host_version(fields: &Fields<'_>) -> Result<(), ManifestError> {
    const NAME: &str = "minOpenWAVersion";
    let Some(text) = fields.text(NAME)? else { return Ok(()) };
    let digits = |part: &str| match part.bytes().all(|b| b.is_ascii_digit()) {
        true => part.parse::<u32>().ok(),
        false => None,
    };
    let parts: Option<Vec<u32>> = text.split('.').map(digits).collect();
    let wanted = parts.and_then(|parts| <[u32; 3]>::try_from(parts).ok());
    match wanted {
        None => Err(fields.wrong(NAME, "must be three numbers, like 0.8.16")),
        Some(wanted) if wanted > OPENWA_VERSION => {
            let [major, minor, patch] = OPENWA_VERSION;
            let fault = format!("is {text}: Waypost stands in for OpenWA {major}.{minor}.{patch}");
            Err(fields.wrong(NAME, fault))
        }
        Some(_) => Ok(()),
    }
}

fn listed<T: Display>(words: impl IntoIterator<Item = T>) -> String {
    words.into_iter().map(|word| word.to_string()).collect::<Vec<_>>().join(", ")
}

fn permissions(fields: &Fields<'_>) -> Result<BTreeSet<Permission>, ManifestError> {
    let read = |word: &str| {
        let known = || listed(Permission::ALL.iter().map(|permission| permission.as_str()));
        Permission::parse(word).ok_or_else(|| {
            let fault = format!("contains {word}, which is not one of {}", known());
            fields.wrong("permissions", fault)
        })
    };
    fields.words("permissions")?.into_iter().map(read).collect()
}

fn point(fields: &Fields<'_>, name: &str, word: &str) -> Result<HookPoint, ManifestError> {
    HookPoint::parse(word).ok_or_else(|| {
        let fault = format!("contains {word}, which is not one of {}", listed(HookPoint::ALL));
        fields.wrong(name, fault)
    })
}

fn hooks(fields: &Fields<'_>) -> Result<(), ManifestError> {
    fields.words("hooks")?.into_iter().try_for_each(|word| point(fields, "hooks", word).map(drop))
}

fn sessions(fields: &Fields<'_>) -> Result<Option<Vec<SessionId>>, ManifestError> {
    let words = fields.words("sessions")?;
    if fields.value("sessions").is_none() || words.contains(&"*") {
        return Ok(None);
    }
    let read = |word: &str| {
        word.to_ascii_lowercase().parse().map_err(|_| {
            let fault = format!("contains {word}, which is neither the id of a session nor *");
            fields.wrong("sessions", fault)
        })
    };
    words.into_iter().map(read).collect::<Result<_, _>>().map(Some)
}

fn on_failure(fields: &Fields<'_>) -> Result<BTreeMap<HookPoint, OnFailure>, ManifestError> {
    const NAME: &str = "onFailure";
    let read = |value: &Value| {
        let mode = value.as_str().and_then(OnFailure::parse);
        mode.ok_or_else(|| fields.wrong(NAME, "must be open or closed, or say it by hook point"))
    };
    let everywhere = |mode| HookPoint::ALL.iter().map(|point| (*point, mode)).collect();
    match fields.value(NAME) {
        None => Ok(BTreeMap::new()),
        Some(Value::Object(modes)) => {
            let all = modes.get("*").map(read).transpose()?;
            let mut read_modes: BTreeMap<_, _> = all.map(everywhere).unwrap_or_default();
            for (word, value) in modes.iter().filter(|(word, _)| *word != "*") {
                read_modes.insert(point(fields, NAME, word)?, read(value)?);
            }
            Ok(read_modes)
        }
        Some(value) => read(value).map(everywhere),
    }
}

fn budget(fields: &Fields<'_>) -> Result<Duration, ManifestError> {
    let Some(millis) = fields.whole("budgetMs")? else { return Ok(BUDGET_DEFAULT) };
    let budget = Duration::from_millis(millis);
    match (BUDGET_MIN..=BUDGET_MAX).contains(&budget) {
        true => Ok(budget),
        false => Err(fields.wrong("budgetMs", "must be from 10 to 5000")),
    }
}
