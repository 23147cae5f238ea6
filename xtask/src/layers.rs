//! The layers inside the gateway: which of its modules may name which. The tests here are the guard.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::Context as _;
use syn::visit::Visit;

/// The modules of `gateway`, from the ground up: each names only modules of the layers under it.
const LAYERS: &[(&str, &[&str])] = &[
    ("footing", &["spans"]),
    ("ground", &["egress", "ledger", "pacing", "supervisor"]),
    (
        "parts",
        &[
            "api_keys",
            "audit",
            "brake",
            "hooks",
            "media",
            "outbox",
            "pictures",
            "presence",
            "processes",
            "search",
            "spelling",
            "templates",
            "upkeep",
        ],
    ),
    ("events", &["activity", "live", "preview", "retention", "webhooks"]),
    ("sessions", &["health", "sessions"]),
    (
        "messages",
        &[
            "catalogue",
            "channels",
            "downloads",
            "groups",
            "labels",
            "messages",
            "peers",
            "people",
            "statuses",
        ],
    ),
    ("batches", &["approvals", "automation", "batches", "metrics", "plugins", "stats", "transfer"]),
];

/// Named by everybody: `lib.rs` itself, which has the ports and the options.
const ROOT: &str = "lib";

/// The paths of one file that begin with `crate`: the name behind it.
#[derive(Default)]
struct CratePaths {
    names: BTreeSet<String>,
}

impl CratePaths {
    fn tree(&mut self, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => drop(self.names.insert(path.ident.to_string())),
            syn::UseTree::Name(name) => drop(self.names.insert(name.ident.to_string())),
            syn::UseTree::Rename(rename) => drop(self.names.insert(rename.ident.to_string())),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(item)),
            syn::UseTree::Glob(_) => {}
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

impl<'ast> Visit<'ast> for CratePaths {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if let syn::UseTree::Path(path) = &item.tree
            && path.ident == "crate"
        {
            self.tree(&path.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = path.segments.iter();
        if segments.next().is_some_and(|first| first.ident == "crate")
            && let Some(second) = segments.next()
        {
            self.names.insert(second.ident.to_string());
        }
        syn::visit::visit_path(self, path);
    }
}

/// Names that `lib.rs` hands on, with the module each comes from.
fn reexports(lib: &syn::File) -> BTreeMap<String, String> {
    let mut from = BTreeMap::new();
    for item in &lib.items {
        if let syn::Item::Use(item) = item
            && matches!(item.vis, syn::Visibility::Public(_))
            && let syn::UseTree::Path(path) = &item.tree
        {
            let mut names = CratePaths::default();
            names.tree(&path.tree);
            from.extend(names.names.into_iter().map(|name| (name, path.ident.to_string())));
        }
    }
    from
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|(_, modules)| modules.contains(&module))
}

/// Every arrow that does not lead down, as `from -> to (file)`; and modules without a layer.
fn offences(src: &Path) -> anyhow::Result<Vec<String>> {
    let read = |path: &Path| -> anyhow::Result<syn::File> {
        let text = std::fs::read_to_string(path)?;
        syn::parse_file(&text).with_context(|| format!("cannot read {}", path.display()))
    };
    let handed_on = reexports(&read(&src.join("lib.rs"))?);
    let mut files = vec![];
    crate::house::sources(src, &mut files)?;
    let mut offences = BTreeSet::new();
    for file in &files {
        let inside = file.strip_prefix(src)?;
        let first = inside.components().next().context("a file without a name")?;
        let from = first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        if from == ROOT || from == "fuzz" {
            continue;
        }
        let mut paths = CratePaths::default();
        paths.visit_file(&read(file)?);
        let Some(here) = layer(&from) else {
            offences.insert(format!("{from} has no layer"));
            continue;
        };
        for name in paths.names {
            let to = handed_on.get(&name).cloned().unwrap_or(name);
            match layer(&to) {
                Some(there) if to != from && there >= here => {
                    offences.insert(format!("{from} -> {to} ({})", inside.display()));
                }
                _ => {}
            }
        }
    }
    Ok(offences.into_iter().collect())
}

/// Fails when a module of the gateway names one that is not under it.
fn only_downwards() -> anyhow::Result<()> {
    let offences = offences(&crate::run::root().join("crates/gateway/src"))?;
    anyhow::ensure!(offences.is_empty(), "arrows that do not lead down: {}", offences.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_of_the_gateway_name_only_what_is_under_them() {
        only_downwards().unwrap();
    }

    /// What a session's status becomes is decided by `transition`; one file writes it down.
    #[test]
    fn one_file_writes_the_status_of_a_session() {
        let src = crate::run::root().join("crates/gateway/src");
        let mut files = vec![];
        crate::house::sources(&src, &mut files).unwrap();
        let writes = |file: &&std::path::PathBuf| {
            let text = std::fs::read_to_string(file).unwrap();
            let in_a_patch = text.contains("SessionPatch") && text.contains("status: Some(");
            in_a_patch || text.contains("patch.status =")
        };
        let found: Vec<_> = files.iter().filter(writes).collect();
        assert_eq!(found, [&src.join("sessions/record.rs")]);
    }

    #[test]
    fn an_arrow_upwards_and_a_module_without_a_layer_are_seen() {
        let folder = std::env::temp_dir().join(format!("layers-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("outbox")).unwrap();
        std::fs::write(folder.join("lib.rs"), "pub use sessions::Sessions;").unwrap();
        let up = "use crate::{Sessions, ledger::LedgerWriter}; fn f() { crate::batches::g() }";
        std::fs::write(folder.join("outbox/mod.rs"), up).unwrap();
        std::fs::write(folder.join("novel.rs"), "").unwrap();
        let found = offences(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            found,
            [
                "novel has no layer",
                "outbox -> batches (outbox/mod.rs)",
                "outbox -> sessions (outbox/mod.rs)"
            ]
        );
    }
}
