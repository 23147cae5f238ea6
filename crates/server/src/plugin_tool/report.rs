//! What an author sees in the terminal.

use std::{fmt::Display, path::Path};

use domain::{hook::OnFailure, plugin::HookRegistration};
use owo_colors::{OwoColorize as _, Stream};
use serde_json::{Value, json};

use super::trial::{TrialAnswer, TrialPackage};

/// What was asked.
pub enum Asked<'a> {
    /// A handler, about a sample of this name.
    Hook(&'a HookRegistration, &'a str),
    /// A route for providers.
    Route(&'a str),
}

/// Prints as it goes.
pub struct Report {
    is_json: bool,
}

impl Report {
    /// For `plugin check`: what is right or wrong.
    pub fn checks() -> Self {
        Self { is_json: false }
    }

    /// Of `run`: for people, or one JSON object per call.
    pub fn calls(is_json: bool) -> Self {
        Self { is_json }
    }

    /// The package could be read, and its manifest is right.
    pub fn package(&self, read: &TrialPackage) {
        let manifest = &read.manifest;
        let unpacked: usize = read.package.files.values().map(String::len).sum();
        say!("{} {}, {}", manifest.id, manifest.version, manifest.name);
        tick("package", format!("{} files, {unpacked} bytes", read.package.files.len()));
        let permissions: Vec<_> =
            manifest.permissions.iter().map(|permission| permission.as_str()).collect();
        let permissions =
            if permissions.is_empty() { "no permissions".into() } else { permissions.join(", ") };
        let sessions = match (&manifest.sessions, manifest.session_scoped) {
            (Some(sessions), _) => format!("{} sessions", sessions.len()),
            (None, true) => "the sessions that the operator chooses".into(),
            (None, false) => "all sessions".into(),
        };
        tick(
            "manifest",
            format!("{permissions}; {sessions}; {} ms a call", manifest.budget.as_millis()),
        );
    }

    /// The process is up, with what it registered.
    pub fn started(&self, handlers: &[HookRegistration], routes: &[String], missing: &[String]) {
        let shown = |handler: &HookRegistration| {
            let closed = if handler.on_failure == OnFailure::Closed { ", closed" } else { "" };
            format!("{} ({}{closed})", handler.point, handler.priority)
        };
        let handlers: Vec<_> = handlers.iter().map(shown).collect();
        tick("start", "onLoad and onEnable went through");
        tick("handlers", if handlers.is_empty() { "none".into() } else { handlers.join(", ") });
        if !routes.is_empty() {
            tick("routes for providers", routes.join(", "));
        }
        if !missing.is_empty() {
            say!(
                "  {} {:<24} {}",
                yellow("!"),
                "configuration",
                format_args!("still needs {}", missing.join(", "))
            );
        }
    }

    /// One handler, asked about one sample; whether it failed.
    pub fn handler(
        &self,
        handler: &HookRegistration,
        (sample, given): (&str, &Value),
        answer: &TrialAnswer,
    ) -> bool {
        let what = format!("{}: {sample}", handler.point);
        match &answer.answer {
            Ok(value) => {
                tick(&what, verdict(handler, given, value));
                false
            }
            Err(error) => {
                say!("  {} {what:<42} {error}", red("✗"));
                log(answer);
                true
            }
        }
    }

    /// Nothing is wrong.
    pub fn good(&self, package: &Path) {
        say!(
            "\nNothing is wrong with it. `waypost plugin run {}` shows what it does.",
            package.display()
        );
    }

    /// One call of `run`; whether it went well.
    pub fn asked(&self, asked: &Asked<'_>, given: &Value, answer: &TrialAnswer) -> bool {
        if self.is_json {
            say!("{}", program(asked, given, answer));
            return answer.answer.is_ok();
        }
        match asked {
            Asked::Hook(handler, sample) => say!("{}: {sample}", bold(handler.point.as_str())),
            Asked::Route(route) => say!("ingress {}", bold(route)),
        }
        match (&answer.answer, asked) {
            (Ok(value), Asked::Hook(handler, _)) => {
                say!(
                    "  {} {}, {} µs",
                    green("✓"),
                    verdict(handler, given, value),
                    answer.took.as_micros()
                );
                changes(given, value.get("data").unwrap_or(&Value::Null));
            }
            (Ok(_), Asked::Route(_)) => {
                say!("  {} handled, {} µs", green("✓"), answer.took.as_micros());
            }
            (Err(error), _) => say!("  {} {error}", red("✗")),
        }
        for request in &answer.requests {
            let arguments: Vec<_> = request.arguments.iter().map(Value::to_string).collect();
            say!("  → {}({})", request.capability, arguments.join(", "));
            if let Err(why) = &request.answer {
                say!("    {} {why}", red("refused:"));
            }
        }
        log(answer);
        say!();
        answer.answer.is_ok()
    }
}

fn log(answer: &TrialAnswer) {
    for line in &answer.lines {
        say!("  {} {} {}", line.level, line.message, line.about.as_deref().unwrap_or_default());
    }
}

/// Goes on, goes on with changes, or stops.
fn verdict(handler: &HookRegistration, given: &Value, value: &Value) -> &'static str {
    let data = value.get("data").filter(|data| !data.is_null());
    match (value["continue"] == json!(false), data) {
        (true, _) if handler.point.can_veto() => "stops it",
        (true, _) => "claims it: plugins behind it are not asked",
        (false, Some(data)) if data != given => "goes on, changed",
        (false, _) => "goes on",
    }
}

/// The places where the data differ, each with what was and what is.
fn changes(before: &Value, after: &Value) {
    if after.is_null() {
        return;
    }
    let mut found = vec![];
    compare("data", before, after, &mut found);
    for (place, before, after) in found {
        say!("    {place}");
        say!("      {} {before}", red("-"));
        say!("      {} {after}", green("+"));
    }
}

fn compare(place: &str, before: &Value, after: &Value, found: &mut Vec<(String, Value, Value)>) {
    match (before, after) {
        (Value::Object(one), Value::Object(other)) => {
            let mut names: Vec<_> = one.keys().chain(other.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let of = |object: &serde_json::Map<String, Value>| {
                    object.get(name).cloned().unwrap_or(Value::Null)
                };
                compare(&format!("{place}.{name}"), &of(one), &of(other), found);
            }
        }
        _ if before == after => {}
        _ => found.push((place.to_owned(), before.clone(), after.clone())),
    }
}

fn program(asked: &Asked<'_>, given: &Value, answer: &TrialAnswer) -> Value {
    let mut shown = match asked {
        Asked::Hook(handler, sample) => {
            json!({ "hook": handler.point.as_str(), "priority": handler.priority, "sample": sample })
        }
        Asked::Route(route) => json!({ "ingress": route }),
    };
    shown["given"] = given.clone();
    match &answer.answer {
        Ok(value) => shown["answer"] = value.clone(),
        Err(error) => shown["error"] = json!(error.to_string()),
    }
    shown["microseconds"] = json!(answer.took.as_micros() as u64);
    shown["requests"] = answer.requests.iter().map(super::stand_in::TrialRequest::value).collect();
    let line = |line: &domain::port::PluginLogLine| json!({ "level": line.level, "message": line.message });
    shown["log"] = answer.lines.iter().map(line).collect();
    shown
}

fn tick(what: &str, detail: impl Display) {
    say!("  {} {what:<42} {detail}", green("✓"));
}

fn bold(text: &str) -> String {
    text.if_supports_color(Stream::Stdout, |text| text.bold()).to_string()
}

fn green(text: &str) -> String {
    text.if_supports_color(Stream::Stdout, |text| text.green()).to_string()
}

fn red(text: &str) -> String {
    text.if_supports_color(Stream::Stdout, |text| text.red()).to_string()
}

fn yellow(text: &str) -> String {
    text.if_supports_color(Stream::Stdout, |text| text.yellow()).to_string()
}
