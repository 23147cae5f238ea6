//! How far a backup or a restore is, on standard error: a bar on a terminal, a line per step elsewhere.

use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use storage::{BackupProgress, BackupStep, ProgressListener};

/// What is drawn; taken away by [`StepBar::end`].
#[derive(Clone)]
pub struct StepBar(Arc<Mutex<DrawnStep>>);

#[derive(Default)]
struct DrawnStep {
    step: Option<BackupStep>,
    /// None where standard error is no terminal.
    bar: Option<ProgressBar>,
}

/// A listener that shows on standard error what it hears, and what it shows.
pub fn on_stderr() -> (ProgressListener, StepBar) {
    let bar = StepBar(Arc::default());
    let shown = bar.clone();
    (Arc::new(move |progress| shown.show(progress)), bar)
}

impl StepBar {
    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = self.lock().bar.take() {
            bar.finish_and_clear();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, DrawnStep> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, progress: BackupProgress) {
        let mut drawn = self.lock();
        if drawn.step != Some(progress.step) {
            if let Some(bar) = drawn.bar.take() {
                bar.finish_and_clear();
            }
            drawn.step = Some(progress.step);
            let bar = begin(progress.step);
            if bar.is_hidden() {
                complain!("{} …", name(progress.step));
            } else {
                drawn.bar = Some(bar);
            }
        }
        if let Some(bar) = &drawn.bar {
            if progress.all > 0 {
                bar.set_length(progress.all);
            }
            bar.set_position(progress.done);
        }
    }
}

fn begin(step: BackupStep) -> ProgressBar {
    let bar = ProgressBar::new(0);
    // A template that is not one is a mistake of ours, and no reason to stop.
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent}%") {
        bar.set_style(style);
    }
    bar.set_message(name(step));
    bar
}

fn name(step: BackupStep) -> &'static str {
    match step {
        BackupStep::CopyLedger => "copying the ledger",
        BackupStep::CheckLedger => "checking the copy",
        BackupStep::Pack => "writing the file",
        BackupStep::Check => "reading the file and checking it",
        BackupStep::Unpack => "writing what is in it",
        BackupStep::Revive => "dropping what must not be used again",
    }
}
