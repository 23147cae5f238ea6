//! `waypost plugin …`: for authors. The same process, package check and manifest check as in the gateway, without one.

mod report;
mod samples;
mod scaffold;
mod stand_in;
mod trial;

use std::{path::Path, process::ExitCode};

use anyhow::{Context as _, bail, ensure};
use domain::{Clock as _, Timestamp, hook::HookPoint, plugin::HookRegistration};
use serde_json::{Map, Value};

use crate::{
    cli::{CheckPlugin, NewPlugin, PackPlugin, PluginCommand, RunPlugin},
    system::SystemClock,
};

use self::{
    report::{Asked, Report},
    trial::{Trial, TrialPackage, configured, hook_call, ingress_call, read_package},
};

/// Runs one of the commands.
pub async fn run(command: PluginCommand) -> anyhow::Result<ExitCode> {
    match command {
        PluginCommand::New(options) => new(&options),
        PluginCommand::Check(options) => check(&options).await,
        PluginCommand::Run(options) => try_out(&options).await,
        PluginCommand::Pack(options) => pack(&options),
    }
}

fn new(options: &NewPlugin) -> anyhow::Result<ExitCode> {
    let folder = scaffold::write(options)?;
    let folder = folder.display();
    say!(
        "Written: {folder}/ with manifest.json, the script, and waypost-plugin.d.ts for your editor.

  waypost plugin run {folder}      asks it about sample events and prints what it answers
  waypost plugin check {folder}    says what is wrong with it
  waypost plugin pack {folder}     makes the zip for POST /api/plugins/install"
    );
    Ok(ExitCode::SUCCESS)
}

/// Every step that an installation takes, and each handler once on each sample.
async fn check(options: &CheckPlugin) -> anyhow::Result<ExitCode> {
    let report = Report::checks();
    let read = read_package(&options.package)?;
    report.package(&read);
    let config = config(&read, options.plugin_config.as_deref())?;
    let missing = read.manifest.schema().missing(&config);
    let mut trial = started(&read, config, None).await?;
    let handlers = trial.stand_in.handlers();
    report.started(&handlers, &trial.stand_in.routes(), &missing);
    let mut failures = 0;
    let now = SystemClock.now();
    for (number, handler) in handlers.iter().enumerate() {
        for (name, data) in samples::of(handler.point) {
            let call = hook_call(u32::try_from(number)?, handler.point, &data, now.millis());
            let answer = trial.call(call).await;
            failures += usize::from(report.handler(handler, (name, &data), &answer));
        }
    }
    trial.end().await;
    if failures > 0 {
        bail!("{failures} calls failed");
    }
    report.good(&options.package);
    Ok(ExitCode::SUCCESS)
}

/// Asks handlers, or a route, and prints everything that comes of it.
async fn try_out(options: &RunPlugin) -> anyhow::Result<ExitCode> {
    let read = read_package(&options.package)?;
    let config = config(&read, options.plugin_config.as_deref())?;
    let fetch = options.fetch.as_deref().map(json_argument).transpose()?;
    let data = options.data.as_deref().map(json_argument).transpose()?;
    let at = match &options.at {
        None => SystemClock.now(),
        Some(text) => Timestamp::parse_iso(text)
            .with_context(|| format!("--at {text} is no time like 2026-11-27T20:00:00Z"))?,
    };
    let point = options.hook.as_deref().map(point).transpose()?;
    let mut trial = started(&read, config, fetch).await?;
    let report = Report::calls(options.json);
    let mut is_well = true;
    if let Some(route) = &options.ingress {
        let given = data.unwrap_or(Value::Null);
        let answer = trial.call(ingress_call(&read.manifest, route, &given)?).await;
        is_well &= report.asked(&Asked::Route(route), &given, &answer);
    } else {
        let handlers = trial.stand_in.handlers();
        ensure_registered(&handlers, point)?;
        for (number, handler) in handlers.iter().enumerate() {
            if point.is_some_and(|point| point != handler.point) {
                continue;
            }
            let events = match &data {
                Some(data) => vec![("your data", data.clone())],
                None => samples::of(handler.point),
            };
            for (name, data) in events {
                let call = hook_call(u32::try_from(number)?, handler.point, &data, at.millis());
                let answer = trial.call(call).await;
                is_well &= report.asked(&Asked::Hook(handler, name), &data, &answer);
            }
        }
    }
    trial.end().await;
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn pack(options: &PackPlugin) -> anyhow::Result<ExitCode> {
    ensure!(options.folder.is_dir(), "{} is no folder", options.folder.display());
    let read = read_package(&options.folder)?;
    let name = format!("{}-{}.zip", read.manifest.id, read.manifest.version);
    let output = options.output.as_deref().unwrap_or(Path::new(&name));
    std::fs::write(output, &read.packed)
        .with_context(|| format!("cannot write {}", output.display()))?;
    say!("{}: {} files, {} bytes", output.display(), read.package.files.len(), read.packed.len());
    Ok(ExitCode::SUCCESS)
}

/// Starts it; a failure names what its configuration still needs, which may be why.
async fn started(
    read: &TrialPackage,
    config: Map<String, Value>,
    fetch: Option<Value>,
) -> anyhow::Result<Trial> {
    let missing = read.manifest.schema().missing(&config);
    let trial = Trial::start(read, config, fetch).await;
    match missing.is_empty() {
        true => trial,
        false => trial.with_context(|| {
            let missing = missing.join(", ");
            format!("its configuration still needs {missing}: --plugin-config '{{…}}' gives them")
        }),
    }
}

fn config(read: &TrialPackage, given: Option<&str>) -> anyhow::Result<Map<String, Value>> {
    let given = match given.map(json_argument).transpose()? {
        None => Map::new(),
        Some(Value::Object(given)) => given,
        Some(_) => bail!("--plugin-config must be a JSON object"),
    };
    configured(&read.manifest, given)
}

/// JSON in an argument, or in a file behind an `@`.
fn json_argument(text: &str) -> anyhow::Result<Value> {
    let read = match text.strip_prefix('@') {
        Some(file) => {
            std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?
        }
        None => text.to_owned(),
    };
    serde_json::from_str(&read).with_context(|| format!("{text:.60} is no JSON"))
}

fn point(text: &str) -> anyhow::Result<HookPoint> {
    HookPoint::parse(text).with_context(|| {
        let all: Vec<_> = HookPoint::ALL.iter().map(|point| point.as_str()).collect();
        format!("there is no hook point {text}; there are: {}", all.join(", "))
    })
}

fn ensure_registered(
    handlers: &[HookRegistration],
    point: Option<HookPoint>,
) -> anyhow::Result<()> {
    let Some(point) = point else {
        ensure!(!handlers.is_empty(), "the plugin registers no handler; --ingress tries a route");
        return Ok(());
    };
    let is_there = handlers.iter().any(|handler| handler.point == point);
    let points: Vec<_> = handlers.iter().map(|handler| handler.point.as_str()).collect();
    ensure!(
        is_there,
        "the plugin registers no handler at {point}; it has: {}",
        if points.is_empty() { "none".into() } else { points.join(", ") }
    );
    Ok(())
}
