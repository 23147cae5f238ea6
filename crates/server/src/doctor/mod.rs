//! `waypost doctor`: what is wrong here, and what to do about it. It changes nothing, and nothing outside of this
//! installation is asked.

mod around;
mod ledger;
mod place;
mod report;

use std::{path::Path, process::ExitCode};

use domain::Clock as _;

use crate::{
    cli::DoctorArgs,
    config::{self, Settings},
    stores,
    system::SystemClock,
};

use report::{DoctorReport, Finding};

/// Looks at everything, and prints what was found: exit code 0, 1 or 2.
pub async fn run(file: Option<&Path>, args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let report = match config::load(file, &config::process_env) {
        Ok(settings) => look(&settings, args.url.as_deref()).await,
        Err(error) => DoctorReport(vec![Finding::problem(
            "settings",
            error.to_string(),
            "change that setting; `waypost check-config` shows all that are in force",
        )]),
    };
    if args.json {
        say!("{}", report.json());
    } else {
        say!("{}", report.text().trim_end());
    }
    Ok(report.exit_code())
}

async fn look(settings: &Settings, url: Option<&str>) -> DoctorReport {
    let mut findings = vec![Finding::good("settings", "they fit together")];
    findings.push(place::data_folder(settings));
    findings.extend(place::media_folder(settings));
    findings.extend(place::free_space(settings));
    let key = stores::known_master_key(settings);
    findings.push(place::master_key(settings, &key));
    let now = SystemClock.now();
    findings.extend(ledger::look(settings, key.ok().flatten().as_ref(), now).await);
    findings.extend(around::redis(settings).await);
    findings.push(around::gateway(settings, url).await);
    DoctorReport(findings)
}
