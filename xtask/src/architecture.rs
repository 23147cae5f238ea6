//! The arrows between the crates, and what may never be in the product's build. The tests here are the guard.

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::run::cargo;

/// Who may depend on whom, from the picture in `ARCHITECTURE.md`.
const NORMAL: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("dashboard", &[]),
    ("storage", &["domain"]),
    ("plugins", &["domain"]),
    ("whatsapp", &["domain"]),
    ("gateway", &["domain"]),
    ("api", &["dashboard", "domain", "gateway"]),
    ("server", &["api", "domain", "gateway", "plugins", "simulator", "storage", "whatsapp"]),
    ("simulator", &[]),
    ("testkit", &["domain"]),
    ("storage-conformance", &["domain", "testkit"]),
    ("fuzz", &["api", "domain", "gateway", "whatsapp"]),
    ("xtask", &[]),
];

/// What tests may use besides.
const DEV: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("dashboard", &[]),
    ("storage", &["storage-conformance", "testkit"]),
    ("whatsapp", &["simulator", "storage", "testkit"]),
    ("plugins", &[]),
    ("gateway", &["plugins", "storage", "testkit"]),
    ("api", &["plugins", "storage", "testkit"]),
    ("server", &["testkit"]),
    ("simulator", &[]),
    ("testkit", &[]),
    ("storage-conformance", &[]),
    ("fuzz", &["testkit"]),
    ("xtask", &[]),
];

/// Outside crates that only some of ours may name, and what the wall keeps in its room.
const WALLS: &[(&str, &[&str], &str)] = &[
    // The protocol.
    ("whatsapp-rust", &["whatsapp", "simulator"], "the protocol"),
    ("wacore", &[], "the protocol: through `whatsapp-rust`"),
    ("wacore-binary", &[], "the protocol: through `whatsapp-rust`"),
    ("wacore-noise", &[], "the protocol: through `whatsapp-rust`"),
    ("waproto", &[], "the protocol: through `whatsapp-rust`"),
    ("async-channel", &["whatsapp"], "the engine's queue"),
    ("tokio-socks", &["whatsapp"], "the engine's proxies"),
    ("tokio-websockets", &["whatsapp", "simulator"], "the engine's socket"),
    ("ureq", &["whatsapp"], "the engine's uploads and downloads"),
    // Plugins.
    ("rquickjs", &["plugins"], "JavaScript"),
    ("oxc", &["plugins"], "TypeScript"),
    ("zip", &["plugins"], "packages"),
    ("seccompiler", &["plugins"], "what a plugin's process may do"),
    ("libc", &["plugins"], "the numbers of system calls"),
    ("ring", &["plugins"], "digests and signatures of scripts"),
    // Databases.
    ("rusqlite", &["storage"], "SQL"),
    ("libsqlite3-sys", &[], "SQL: through `rusqlite`"),
    ("sqlx", &["storage", "testkit"], "SQL"),
    ("sqlx-core", &[], "SQL: through `sqlx`"),
    ("sqlx-postgres", &[], "SQL: through `sqlx`"),
    ("redis", &["storage"], "the shared queue"),
    ("bullmq-official", &["storage"], "the shared queue"),
    ("chacha20poly1305", &["storage"], "encryption at rest"),
    // HTTP.
    ("axum", &["api", "server", "simulator", "testkit"], "serving HTTP"),
    ("tower-http", &["api"], "serving HTTP"),
    ("http-body", &["api"], "bodies that come in"),
    ("utoipa", &["api"], "the OpenAPI document"),
    ("utoipa-axum", &["api"], "the OpenAPI document"),
    ("utoipa-swagger-ui", &["api"], "the OpenAPI document"),
    ("socketioxide", &["api"], "sockets"),
    ("rmcp", &["api"], "agents"),
    ("encoding_rs", &["api"], "encodings of uploaded lists"),
    ("hyper", &["gateway", "server"], "calling webhooks; serving"),
    ("hyper-util", &["gateway", "server"], "calling webhooks; serving"),
    ("reqwest", &["gateway", "server"], "calling by HTTP"),
    ("tokio-rustls", &["gateway", "simulator", "whatsapp"], "TLS of our own sockets"),
    ("rcgen", &["simulator"], "a certificate for the media host"),
    ("webpki-roots", &["gateway", "whatsapp"], "whom TLS trusts"),
    // Rules and the kinds of files.
    ("chrono", &["domain"], "calendars"),
    ("chrono-tz", &["domain", "fuzz"], "time zones"),
    ("rlibphonenumber", &["domain"], "numbering plans"),
    ("ed25519-dalek", &["domain"], "signatures"),
    ("hmac", &["domain", "simulator"], "signatures"),
    ("image", &["gateway"], "files"),
    ("infer", &["gateway"], "files"),
    ("mp4parse", &["gateway"], "files"),
    ("symphonia", &["gateway"], "files"),
    ("png", &["gateway"], "QR codes"),
    ("qrcode", &["gateway", "server"], "QR codes"),
    // The program.
    (
        "tokio",
        &["api", "gateway", "plugins", "server", "simulator", "storage", "testkit", "whatsapp"],
        "tasks",
    ),
    ("clap", &["server", "simulator", "xtask"], "command lines"),
    ("clap_complete", &["server"], "completions of the command line"),
    ("clap_mangen", &["server"], "pages about the command line"),
    ("figment", &["server"], "settings"),
    ("toml", &["server"], "settings"),
    ("tracing-subscriber", &["server"], "where logs and spans go"),
    ("prost", &["server"], "spans as collectors read them"),
    ("sd-notify", &["server"], "the service manager"),
    ("indicatif", &["server"], "the terminal"),
    ("owo-colors", &["server"], "the terminal"),
    ("mimalloc", &["server"], "the allocator"),
    ("rustix", &["plugins", "server", "storage"], "the operating system"),
    ("tar", &["storage", "xtask"], "backups; archives that are handed out"),
    ("libfuzzer-sys", &["fuzz"], "the fuzzer"),
    ("proptest", &["storage-conformance"], "made-up input"),
    ("syn", &["xtask"], "our own sources"),
];

fn allowed<'a>(table: &'a [(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    table.iter().find(|(key, _)| *key == name).map(|(_, names)| *names)
}

/// The wall between an outside crate and one of ours, where there is one.
fn wall(
    to: &str,
    name: &str,
) -> Option<&'static (&'static str, &'static [&'static str], &'static str)> {
    WALLS.iter().find(|(outside, rooms, _)| *outside == to && !rooms.contains(&name))
}

/// Every arrow that is not in the picture.
fn offences(metadata: &Value) -> anyhow::Result<Vec<String>> {
    let packages = metadata["packages"].as_array().context("metadata without packages")?;
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut offences = Vec::new();
    for package in packages {
        let name = package["name"].as_str().context("package without a name")?;
        for dependency in
            package["dependencies"].as_array().context("package without dependencies")?
        {
            let to = dependency["name"].as_str().context("dependency without a name")?;
            let dev = dependency["kind"] == "dev";
            if names.contains(&to) {
                let table = if dev { DEV } else { NORMAL };
                if !allowed(table, name).is_some_and(|names| names.contains(&to)) {
                    offences.push(format!("{name} -> {to}{}", if dev { " (dev)" } else { "" }));
                }
            } else if !dev && let Some((_, _, why)) = wall(to, name) {
                offences.push(format!("{name} names {to} ({why})"));
            }
        }
    }
    Ok(offences)
}

/// The workspace as cargo sees it, without the registry's crates.
fn metadata() -> anyhow::Result<Value> {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1"]).output()?;
    if !output.status.success() {
        bail!("cargo metadata ended with {}", output.status);
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Fails when a crate depends on something that is not in the picture.
pub fn only_known_arrows() -> anyhow::Result<()> {
    match offences(&metadata()?)?.as_slice() {
        [] => Ok(()),
        offences => bail!("not in the picture of ARCHITECTURE.md: {}", offences.join(", ")),
    }
}

/// Fails when the product's normal build contains a feature that weakens a check of the protocol library.
pub fn no_danger_feature() -> anyhow::Result<()> {
    let output = cargo(&["tree", "-p", "server", "-e", "normal,features", "--locked"]).output()?;
    if !output.status.success() {
        bail!(
            "cargo tree ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let tree = String::from_utf8_lossy(&output.stdout);
    match tree.lines().find(|line| line.contains("danger")) {
        Some(line) => bail!("the product would be built with {}", line.trim()),
        None if !tree.contains("whatsapp-rust") => {
            bail!("the tree does not show the engine at all")
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dependency_has_its_reason() {
        let read = |path: &str| std::fs::read_to_string(crate::run::root().join(path)).unwrap();
        let (manifest, reasons) = (read("Cargo.toml"), read("docs/dependencies.md"));
        let section = manifest.split("[workspace.dependencies]").nth(1).unwrap();
        let names = section.split("\n[").next().unwrap().lines().filter_map(|line| {
            line.split_once(" = ").map(|(name, _)| name).filter(|name| !name.starts_with('#'))
        });
        let is_ours = |name: &&str| allowed(NORMAL, name).is_some();
        let is_named = |name: &&str| {
            [format!("`{name}`"), format!("`{name} ")].iter().any(|text| reasons.contains(text))
        };
        let unnamed: Vec<&str> =
            names.filter(|name| !is_ours(name)).filter(|name| !is_named(name)).collect();
        assert!(unnamed.is_empty(), "docs/dependencies.md says nothing of {unnamed:?}");
    }

    #[test]
    fn only_the_arrows_of_the_picture_exist() {
        only_known_arrows().unwrap();
    }

    /// What differs between the databases is chosen where one is opened; a statement may have a text for each
    /// (`db::Statement`).
    #[test]
    fn nobody_outside_asks_which_database_it_is() {
        let src = crate::run::root().join("crates/storage/src");
        let mut files = vec![];
        crate::house::sources(&src, &mut files).unwrap();
        files.retain(|file| {
            !["db", "open", "open.rs"].iter().any(|room| file.starts_with(src.join(room)))
        });
        let asks = ["Kind", "Conn", "Readers"]
            .map(|name| ["Sqlite", "Postgres"].map(|database| format!("{name}::{database}")));
        for file in &files {
            let text = std::fs::read_to_string(file).unwrap();
            let product = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let found = asks.as_flattened().iter().find(|ask| product.contains(ask.as_str()));
            assert_eq!(found, None, "{}", file.display());
        }
        assert!(files.len() > 50);
    }

    #[test]
    fn every_door_in_a_wall_is_used() {
        let metadata = metadata().unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let names = |package: &str, outside: &str| {
            let package = packages.iter().find(|found| found["name"] == package).unwrap();
            let dependencies = package["dependencies"].as_array().unwrap();
            dependencies.iter().any(|found| found["name"] == outside && found["kind"] != "dev")
        };
        let lock = std::fs::read_to_string(crate::run::root().join("Cargo.lock")).unwrap();
        for (outside, rooms, _) in WALLS {
            let is_there = lock.contains(&format!("name = \"{outside}\"\n"));
            assert!(is_there, "{outside} is walled in and not there");
            for room in *rooms {
                assert!(names(room, outside), "{room} may name {outside} and does not");
            }
        }
    }

    #[test]
    fn every_crate_is_in_the_picture() {
        for package in metadata().unwrap()["packages"].as_array().unwrap() {
            let name = package["name"].as_str().unwrap();
            assert!(allowed(NORMAL, name).is_some() && allowed(DEV, name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_new_arrow_is_seen() {
        let mut metadata = metadata().unwrap();
        let packages = metadata["packages"].as_array_mut().unwrap();
        let domain = packages.iter_mut().find(|package| package["name"] == "domain").unwrap();
        let arrows = domain["dependencies"].as_array_mut().unwrap();
        arrows.push(serde_json::json!({ "name": "storage", "kind": null }));
        arrows.push(serde_json::json!({ "name": "sqlx", "kind": null }));
        assert_eq!(offences(&metadata).unwrap(), ["domain -> storage", "domain names sqlx (SQL)"]);
    }

    #[test]
    fn the_product_verifies_whatsapps_certificate() {
        no_danger_feature().unwrap();
    }
}
