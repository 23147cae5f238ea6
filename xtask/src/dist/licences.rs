//! The licences of what others wrote and the program contains: crates with what they bring in C, and what the dashboard
//! is built from. Read from where the build reads them; a crate that cannot be told a licence of stops it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::said;
use crate::{
    run::{cargo, root},
    web,
};

/// Beginnings of the names of files with licences.
const NAMES: [&str; 6] = ["licence", "license", "copying", "copyright", "notice", "unlicense"];
/// Ends of names of other files that begin so.
const OTHER_ENDS: [&str; 8] = ["rs", "c", "h", "py", "js", "json", "toml", "html"];
/// How deep in a crate the licence of something that it brings may lie.
const DEPTH_MAX: usize = 5;

/// For a crate under this licence that has no file of it.
const MIT: &str = "\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the \"Software\"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
";
/// How such a text begins that others brought along, by its name in an expression.
const STANDARD: [(&str, &str); 2] = [
    ("Apache-2.0", "Apache License Version 2.0"),
    ("MPL-2.0", "Mozilla Public License Version 2.0"),
];

/// Something of others.
#[derive(Debug)]
struct ForeignPackage {
    name: String,
    version: String,
    /// The licence, as its makers say it.
    expression: String,
    authors: Vec<String>,
    source: String,
    /// Texts by the names of their files.
    texts: BTreeMap<String, String>,
}

/// Everything that is told with the program of a target.
pub fn of(target: &str) -> anyhow::Result<String> {
    let arguments = ["metadata", "--locked", "--format-version", "1", "--filter-platform", target];
    let metadata: Value = serde_json::from_str(&said(&mut cargo(&arguments))?)?;
    let mut packages = crates(&metadata)?;
    packages.extend(scripts()?);
    told(&packages)
}

/// The crates that the program is built with, those of the build itself among them, but none of tests.
fn crates(metadata: &Value) -> anyhow::Result<Vec<ForeignPackage>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let by_id = |value: Value| Some((value["id"].as_str()?.to_owned(), value));
    let packages: BTreeMap<String, Value> =
        list(&metadata["packages"]).into_iter().filter_map(by_id).collect();
    let nodes: BTreeMap<String, Value> =
        list(&metadata["resolve"]["nodes"]).into_iter().filter_map(by_id).collect();
    let server = packages.iter().find(|(_, package)| package["name"] == "server");
    let mut ahead = vec![server.context("there is no crate `server`")?.0.clone()];
    let mut seen = BTreeSet::new();
    while let Some(id) = ahead.pop() {
        let node = nodes.get(&id).with_context(|| format!("{id} is not resolved"))?;
        for dependency in list(&node["deps"]) {
            let is_built = list(&dependency["dep_kinds"]).iter().any(|one| one["kind"] != "dev");
            let next = dependency["pkg"].as_str().context("a dependency without an id")?;
            if is_built && !seen.contains(next) {
                ahead.push(next.to_owned());
            }
        }
        seen.insert(id);
    }
    let others =
        seen.iter().filter_map(|id| packages.get(id)).filter(|one| !one["source"].is_null());
    others.map(of_crate).collect()
}

fn of_crate(package: &Value) -> anyhow::Result<ForeignPackage> {
    let text = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
    let manifest = PathBuf::from(text("manifest_path"));
    let folder = manifest.parent().context("a manifest without a folder")?;
    let mut texts = BTreeMap::new();
    texts_in(folder, folder, &mut texts)?;
    if let Some(named) = package["license_file"].as_str()
        && let Ok(text) = std::fs::read_to_string(folder.join(named))
    {
        texts.insert(named.to_owned(), text);
    }
    let authors = package["authors"].as_array().into_iter().flatten();
    Ok(ForeignPackage {
        name: text("name"),
        version: text("version"),
        // An older way to write "or".
        expression: text("license").replace('/', " OR "),
        authors: authors.filter_map(|author| Some(author.as_str()?.to_owned())).collect(),
        source: text("repository"),
        texts,
    })
}

/// What the dashboard is built from, but for the tools that build it.
fn scripts() -> anyhow::Result<Vec<ForeignPackage>> {
    let folder = root().join("web");
    if !folder.join("node_modules").exists() {
        web::install()?;
    }
    let lock = std::fs::read_to_string(folder.join("package-lock.json"))?;
    let lock: Value = serde_json::from_str(&lock)?;
    let packages = lock["packages"].as_object().context("package-lock.json has no packages")?;
    let mut found = vec![];
    for (path, package) in packages {
        let Some((_, name)) = path.rsplit_once("node_modules/") else { continue };
        if package["dev"] == true {
            continue;
        }
        let text = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
        let mut texts = BTreeMap::new();
        texts_in(&folder.join(path), &folder.join(path), &mut texts)?;
        found.push(ForeignPackage {
            name: name.to_owned(),
            version: text("version"),
            expression: text("license"),
            authors: vec![],
            source: text("resolved"),
            texts,
        });
    }
    Ok(found)
}

/// Collects the files with licences in a folder.
fn texts_in(top: &Path, folder: &Path, texts: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("the sources are not here: {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let inside = path.strip_prefix(top)?;
        if path.is_dir() {
            if inside.components().count() < DEPTH_MAX {
                texts_in(top, &path, texts)?;
            }
        } else if is_licence(&path) {
            let text = String::from_utf8_lossy(&std::fs::read(&path)?).replace("\r\n", "\n");
            if !text.trim().is_empty() {
                texts.insert(inside.display().to_string(), text);
            }
        }
    }
    Ok(())
}

fn is_licence(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let end = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    NAMES.iter().any(|begin| name.starts_with(begin)) && !OTHER_ENDS.contains(&end.as_str())
}

/// A list of all, then each text once, with those who have it.
fn told(packages: &[ForeignPackage]) -> anyhow::Result<String> {
    let mut text =
        "Waypost contains what others wrote, under these licences. The texts follow the list.\n\n"
            .to_owned();
    let mut sorted: Vec<&ForeignPackage> = packages.iter().collect();
    sorted.sort_by_key(|package| (&package.name, &package.version));
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in &sorted {
        let ForeignPackage { name, version, expression, source, .. } = package;
        writeln!(text, "{name} {version}: {expression} ({source})")?;
        let mut add = |licence: &str, owner: String| {
            owners.entry(licence.trim().to_owned()).or_default().push(owner);
        };
        for (file, licence) in &package.texts {
            add(licence, format!("{name} {version}, {file}"));
        }
        if package.texts.is_empty() {
            add(
                &stand_in(package, packages)?,
                format!("{name} {version}, which brings no file of it"),
            );
        }
    }
    for (licence, owners) in &owners {
        let line = "-".repeat(100);
        write!(text, "\n{line}\n{}\n{line}\n\n{licence}\n", owners.join("\n"))?;
    }
    Ok(text)
}

/// The text of the licence that a package names, where it brings none.
fn stand_in(package: &ForeignPackage, all: &[ForeignPackage]) -> anyhow::Result<String> {
    let ForeignPackage { name, version, expression, authors, .. } = package;
    let named: Vec<&str> = expression.split(" OR ").map(str::trim).collect();
    if named.contains(&"MIT") {
        let authors = authors.join(", ");
        let holder = if authors.is_empty() { format!("the authors of {name}") } else { authors };
        return Ok(format!("MIT License\n\nCopyright (c) {holder}\n\n{MIT}"));
    }
    for (licence, begin) in STANDARD {
        let texts = all.iter().flat_map(|one| one.texts.values());
        let is_it = |text: &&String| {
            let words: Vec<&str> = text.split_whitespace().take(5).collect();
            words.join(" ").to_lowercase().replace(',', "").starts_with(&begin.to_lowercase())
        };
        if named.contains(&licence)
            && let Some(text) = texts.filter(is_it).min()
        {
            return Ok(text.clone());
        }
    }
    bail!("{name} {version} brings no text of its licence, and {expression} has none here")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, expression: &str, texts: &[(&str, &str)]) -> ForeignPackage {
        let texts = texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        ForeignPackage {
            name: name.to_owned(),
            version: "1.2.3".to_owned(),
            expression: expression.to_owned(),
            authors: vec![],
            source: format!("https://example.org/{name}"),
            texts: texts.collect(),
        }
    }

    #[test]
    fn each_text_is_told_once_with_those_who_have_it() {
        let all = [
            package("beta", "ISC", &[("LICENSE", "the same words\n")]),
            package("alpha", "ISC", &[("COPYING", "the same words"), ("NOTICE", "others")]),
        ];
        let text = told(&all).unwrap();
        assert!(text.find("alpha 1.2.3: ISC").unwrap() < text.find("beta 1.2.3: ISC").unwrap());
        assert_eq!(text.matches("the same words").count(), 1);
        assert!(text.contains("alpha 1.2.3, COPYING\nbeta 1.2.3, LICENSE\n---"), "{text}");
    }

    #[test]
    fn who_brings_no_text_gets_that_of_the_licence_and_an_unknown_one_stops_it() {
        let apache = "   Apache License\n   Version 2.0, January 2004\nand more";
        let texts = [("LICENSE-APACHE", apache)];
        let all = [
            package("with", "Apache-2.0", &texts),
            package("without", "Apache-2.0", &[]),
            package("free", "Zlib OR MIT", &[]),
        ];
        let text = told(&all).unwrap();
        assert!(text.contains("with 1.2.3, LICENSE-APACHE\nwithout 1.2.3, which brings"), "{text}");
        assert!(text.contains("Copyright (c) the authors of free"), "{text}");
        let error = told(&[package("odd", "MPL-2.0", &[])]).unwrap_err().to_string();
        assert!(error.contains("odd 1.2.3"), "{error}");
    }

    #[test]
    fn licences_are_known_by_their_names() {
        for (name, is) in [
            ("LICENSE", true),
            ("LICENSE-MIT", true),
            ("COPYING.txt", true),
            ("LICENSE.httprouter", true),
            ("license.rs", false),
            ("README.md", false),
        ] {
            assert_eq!(is_licence(Path::new(name)), is, "{name}");
        }
    }

    #[test]
    fn everything_that_the_program_contains_has_its_licence() {
        let host = super::super::targets::host().unwrap();
        let arguments =
            ["metadata", "--locked", "--format-version", "1", "--filter-platform", &host.triple];
        let metadata = serde_json::from_str(&said(&mut cargo(&arguments)).unwrap()).unwrap();
        let packages = crates(&metadata).unwrap();
        let text = told(&packages).unwrap();
        // Also of what crates bring along in C.
        for word in ["\ntokio 1.", "\nwhatsapp-rust 0.", "rquickjs-sys", "quickjs/LICENSE"] {
            assert!(text.contains(word), "{word}");
        }
        let unnamed = packages.iter().find(|package| package.expression.is_empty());
        assert!(unnamed.is_none(), "{unnamed:?}");
        // Tools of tests are not handed on.
        assert!(!text.contains("\njsonschema ") && !text.contains("\nproptest "));
    }
}
