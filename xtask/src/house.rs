//! The house in numbers that may only shrink: names that stand for two things, docs that say nothing, lines over the
//! width, functions with many parameters.
//!
//! `xtask/house.json` holds what each number is. A check fails when one has grown; `cargo xtask house --write` writes
//! what is now, and refuses that as well.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};
use syn::{
    Attribute, Expr, ExprLit, Lit, Meta,
    visit::{self, Visit},
};

use crate::run::root;

/// Longest line of a source file, in characters. The formatter breaks code at 100; texts and comments may have a little
/// more.
const WIDTH: usize = 120;
/// Words that a doc has to have to be worth its line.
const DOC_WORDS_MIN: usize = 3;
/// Most parameters of a function, `self` apart.
const PARAMETERS_MAX: usize = 5;

/// What was counted in the sources of one crate, tests apart.
#[derive(Debug, Default)]
struct CrateCounts {
    /// Every type's name, once for each type.
    types: Vec<String>,
    docs: usize,
    /// Of one or two words.
    short_docs: usize,
    /// Of three words or fewer: what the share is said of.
    docs_of_three: usize,
    long_lines: usize,
    many_parameters: usize,
}

/// Whether an item is compiled only for tests.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("cfg") => {
            let words = list.tokens.to_string();
            words == "test" || words.contains("test ,") || words.contains("test,")
        }
        _ => false,
    })
}

impl CrateCounts {
    fn doc(&mut self, attributes: &[Attribute]) {
        let mut words = None;
        for attribute in attributes {
            let Meta::NameValue(pair) = &attribute.meta else { continue };
            if let (true, Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) =
                (pair.path.is_ident("doc"), &pair.value)
            {
                *words.get_or_insert(0) += text.value().split_whitespace().count();
            }
        }
        let Some(words) = words else { return };
        self.docs += 1;
        self.short_docs += usize::from(words < DOC_WORDS_MIN);
        self.docs_of_three += usize::from(words <= DOC_WORDS_MIN);
    }

    fn signature(&mut self, signature: &syn::Signature) {
        let typed = |input: &&syn::FnArg| matches!(input, syn::FnArg::Typed(_));
        let count = signature.inputs.iter().filter(typed).count();
        self.many_parameters += usize::from(count > PARAMETERS_MAX);
    }

    fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(path)?;
        self.long_lines += text.lines().filter(|line| line.chars().count() > WIDTH).count();
        let file =
            syn::parse_file(&text).with_context(|| format!("cannot read {}", path.display()))?;
        self.visit_file(&file);
        Ok(())
    }
}

impl<'ast> Visit<'ast> for CrateCounts {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let (attributes, name) = match item {
            syn::Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Type(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Fn(item) => (&item.attrs, None),
            syn::Item::Mod(item) => (&item.attrs, None),
            syn::Item::Const(item) => (&item.attrs, None),
            syn::Item::Impl(item) => (&item.attrs, None),
            _ => return visit::visit_item(self, item),
        };
        if is_test(attributes) {
            return;
        }
        self.doc(attributes);
        self.types.extend(name.map(ToString::to_string));
        visit::visit_item(self, item);
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        self.doc(&field.attrs);
        visit::visit_field(self, field);
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.doc(&variant.attrs);
        visit::visit_variant(self, variant);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.doc(&function.attrs);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        self.doc(&function.attrs);
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.signature(signature);
        visit::visit_signature(self, signature);
    }
}

/// The source files under a folder, without tests.
pub fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, found)?;
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
    Ok(())
}

/// The counts of each crate, by its name.
fn count() -> anyhow::Result<BTreeMap<String, CrateCounts>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root().join("xtask")];
    for entry in std::fs::read_dir(root().join("crates"))? {
        folders.push(entry?.path());
    }
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (mut files, mut counts) = (vec![], CrateCounts::default());
        sources(&folder.join("src"), &mut files)?;
        for file in files {
            counts.file(&file)?;
        }
        all.insert(name, counts);
    }
    Ok(all)
}

/// Names that stand for more than one type, and how many types each.
fn shared_names(all: &BTreeMap<String, CrateCounts>) -> BTreeMap<&str, usize> {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for name in all.values().flat_map(|counts| &counts.types) {
        *names.entry(name).or_default() += 1;
    }
    names.retain(|_, count| *count > 1);
    names
}

/// Whether a name is one word: one capital, at its beginning.
fn is_one_word(name: &str) -> bool {
    name.chars().filter(|c| c.is_uppercase()).count() <= 1
}

fn numbers(all: &BTreeMap<String, CrateCounts>) -> anyhow::Result<Map<String, Value>> {
    let sum = |of: fn(&CrateCounts) -> usize| all.values().map(of).sum::<usize>();
    let numbers = json!({
        "type names that stand for several types": shared_names(all).len(),
        "docs of one or two words": sum(|counts| counts.short_docs),
        "lines over the width": sum(|counts| counts.long_lines),
        "functions with over five parameters": sum(|counts| counts.many_parameters),
        "crates in a second version": crate::dependencies::second_versions()?,
    });
    Ok(numbers.as_object().cloned().unwrap_or_default())
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

fn show(all: &BTreeMap<String, CrateCounts>) {
    println!("{:<12} {:>8} {:>10} {:>12}", "crate", "types", "one word", "docs of <= 3");
    for (name, counts) in all {
        let one = counts.types.iter().filter(|name| is_one_word(name)).count();
        let (types, docs) = (counts.types.len(), share(counts.docs_of_three, counts.docs));
        println!("{name:<12} {types:>8} {:>9.1}% {docs:>11.1}%", share(one, types));
    }
    println!("\nnames that stand for several types:");
    for (name, count) in shared_names(all) {
        print!(" {name}({count})");
    }
    println!();
}

fn file() -> PathBuf {
    root().join("xtask/house.json")
}

/// What has grown since it was written down.
fn grown(now: &Map<String, Value>, then: &Map<String, Value>) -> Vec<String> {
    let number = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or(0);
    let pairs = now.iter().map(|(name, value)| (name, number(Some(value)), number(then.get(name))));
    pairs
        .filter(|(_, now, then)| now > then)
        .map(|(name, now, then)| format!("{name}: {then} before, {now} now"))
        .collect()
}

/// Fails when a number has grown.
pub fn check() -> anyhow::Result<()> {
    let now = numbers(&count()?)?;
    let text = std::fs::read_to_string(file()).context("cannot read xtask/house.json")?;
    let grown = grown(&now, &serde_json::from_str(&text)?);
    if grown.is_empty() {
        return Ok(());
    }
    bail!("the house may only get simpler (`cargo xtask house` names them): {}", grown.join("; "))
}

/// Prints the numbers; with `write` they become the new limits, if none has grown.
pub fn run(write: bool) -> anyhow::Result<()> {
    let all = count()?;
    show(&all);
    let now = numbers(&all)?;
    println!("\n{}", serde_json::to_string_pretty(&now)?);
    if write {
        if file().exists() {
            check()?;
        }
        std::fs::write(file(), format!("{}\n", serde_json::to_string_pretty(&now)?))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_has_not_grown() {
        check().unwrap();
    }

    #[test]
    fn what_grew_is_named() {
        let then = json!({ "lines": 3, "docs": 2 }).as_object().cloned().unwrap();
        let now = json!({ "lines": 4, "docs": 1 }).as_object().cloned().unwrap();
        assert_eq!(grown(&now, &then), ["lines: 3 before, 4 now"]);
    }

    #[test]
    fn types_docs_and_parameters_are_counted_and_those_of_tests_are_not() {
        let source = "
            /// Which.
            pub struct Lane;
            /// A webhook's next try and its time.
            enum DueTime { #[doc = \"Now.\"] Now }
            fn many(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) {}
            #[cfg(test)]
            mod tests { /// No.
                struct Lane; }
        ";
        let mut counts = CrateCounts::default();
        counts.visit_file(&syn::parse_file(source).unwrap());
        assert_eq!(counts.types, ["Lane", "DueTime"]);
        assert_eq!((counts.docs, counts.short_docs, counts.many_parameters), (3, 2, 1));
        assert!(is_one_word("Lane") && !is_one_word("DueTime"));
    }
}
