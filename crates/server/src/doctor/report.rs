//! What was found, as text and as JSON.

use std::process::ExitCode;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DoctorVerdict {
    /// Nothing to do.
    Ok,
    /// Somebody should look at it.
    Warning,
    /// It cannot work like this.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What was looked at; does not change between versions.
    pub check: &'static str,
    /// How bad it is.
    pub verdict: DoctorVerdict,
    /// What was found.
    pub says: String,
    /// What to do about it.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn good(check: &'static str, says: impl Into<String>) -> Self {
        Self { check, verdict: DoctorVerdict::Ok, says: says.into(), advice: None }
    }

    /// Somebody should look at it.
    pub fn warning(
        check: &'static str,
        says: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = Some(advice.into());
        Self { check, verdict: DoctorVerdict::Warning, says: says.into(), advice }
    }

    /// It cannot work like this.
    pub fn problem(
        check: &'static str,
        says: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { verdict: DoctorVerdict::Problem, ..Self::warning(check, says, advice) }
    }
}

/// Everything that was looked at, in order.
pub struct DoctorReport(pub Vec<Finding>);

impl DoctorReport {
    fn worst(&self) -> DoctorVerdict {
        self.0.iter().map(|finding| finding.verdict).max().unwrap_or(DoctorVerdict::Ok)
    }

    /// For scripts: the worst of what was found.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.worst() {
            DoctorVerdict::Ok => 0,
            DoctorVerdict::Warning => 1,
            DoctorVerdict::Problem => 2,
        })
    }

    /// One object with `verdict` and `findings`.
    pub fn json(&self) -> String {
        serde_json::json!({ "verdict": self.worst(), "findings": self.0 }).to_string()
    }

    /// A line for each thing, and one more for what to do.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Finding { check, verdict, says, advice } in &self.0 {
            let mark = match verdict {
                DoctorVerdict::Ok => "ok     ",
                DoctorVerdict::Warning => "look   ",
                DoctorVerdict::Problem => "broken ",
            };
            text.push_str(&format!("{mark} {check}: {says}\n"));
            if let Some(advice) = advice {
                text.push_str(&format!("         -> {advice}\n"));
            }
        }
        let count = |verdict| self.0.iter().filter(|one| one.verdict == verdict).count();
        text.push_str(&match (count(DoctorVerdict::Problem), count(DoctorVerdict::Warning)) {
            (0, 0) => "All is well.\n".to_owned(),
            (broken, look) => format!("{broken} broken, {look} to look at.\n"),
        });
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides() {
        let good = Finding::good("disk", "9 GiB free");
        let warning = Finding::warning("key", "open to others", "chmod 600");
        let problem = Finding::problem("ledger", "damaged", "restore");
        let worst =
            |of: &[&Finding]| DoctorReport(of.iter().map(|one| (*one).clone()).collect()).worst();
        assert_eq!(worst(&[]), DoctorVerdict::Ok);
        assert_eq!(worst(&[&good]), DoctorVerdict::Ok);
        assert_eq!(worst(&[&warning, &good]), DoctorVerdict::Warning);
        assert_eq!(worst(&[&good, &problem, &warning]), DoctorVerdict::Problem);
    }

    #[test]
    fn text_and_json_say_the_same() {
        let report = DoctorReport(vec![
            Finding::good("disk", "9 GiB free"),
            Finding::problem("ledger", "damaged", "restore the last backup"),
        ]);
        let text = report.text();
        assert!(
            text.contains("broken  ledger: damaged\n         -> restore the last backup\n"),
            "{text}"
        );
        assert!(text.ends_with("1 broken, 0 to look at.\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["verdict"], "problem");
        assert_eq!(json["findings"][1]["do"], "restore the last backup");
        assert!(json["findings"][0].get("do").is_none());
    }
}
