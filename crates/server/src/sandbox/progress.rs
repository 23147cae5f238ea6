//! How far something got: a bar in a terminal, a line for each step elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::print::StepPrinter;

/// Columns of the bar itself.
const TEMPLATE: &str = "           {prefix} {bar:30.green} {pos}/{len} {msg}";

/// Something on its way. In a terminal nothing is left of it at the end.
pub struct ProgressLine<'a> {
    printer: &'a StepPrinter,
    what: &'static str,
    bar: ProgressBar,
    last: u64,
}

impl<'a> ProgressLine<'a> {
    pub(super) fn begin(printer: &'a StepPrinter, what: &'static str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stdout());
        let style = ProgressStyle::with_template(TEMPLATE);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("━╸─"));
        bar.set_prefix(what);
        bar.tick();
        Self { printer, what, bar, last: 0 }
    }

    /// Shows how far it is.
    pub fn at(&mut self, done: u64, detail: String) {
        if done == self.last {
            return;
        }
        self.last = done;
        if self.bar.is_hidden() {
            let total = self.bar.length().unwrap_or_default();
            self.printer.step(&format!("{} {done} of {total}", self.what), &detail);
            return;
        }
        self.bar.set_message(detail);
        self.bar.set_position(done);
    }
}

impl Drop for ProgressLine<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
