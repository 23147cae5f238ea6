//! What benchmarks measured before, and how far a run may fall behind it: `docs/benchmarks.json`.
//!
//! A figure that depends on the machine is divided by a yardstick of the same run, and what was kept of it by the
//! yardstick of that run: only the quotients are compared. A figure of which nothing is kept, or that the file does not
//! name, is shown and not judged.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

use crate::run::root;

/// What a benchmark said about one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredFigure {
    /// As the benchmark calls it: its own name, a dot, and what was measured.
    pub name: String,
    unit: String,
    value: f64,
    /// What else the line says in numbers.
    rest: Vec<(String, f64)>,
}

impl MeasuredFigure {
    /// Reads a line of a benchmark; `None` when it tells no figure.
    pub fn read(line: &str) -> Option<Self> {
        let line: Map<String, Value> = serde_json::from_str(line).ok()?;
        let text = |key: &str| line.get(key)?.as_str().map(str::to_owned);
        let is_rest = |key: &str| key != "median";
        let numbers = line.iter().filter_map(|(key, value)| Some((key.clone(), value.as_f64()?)));
        Some(Self {
            name: text("name")?,
            unit: text("unit")?,
            value: line.get("median")?.as_f64()?,
            rest: numbers.filter(|(key, _)| is_rest(key)).collect(),
        })
    }
}

impl fmt::Display for MeasuredFigure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:.2} {}", self.name, self.value, self.unit)?;
        let rest: Vec<String> =
            self.rest.iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
        if rest.is_empty() { Ok(()) } else { write!(f, " ({})", rest.join(", ")) }
    }
}

/// What the file says about a figure, as it is written there.
type FigureFields = BTreeMap<String, Value>;

/// The same, read and understood.
#[derive(Debug, Clone, Default)]
struct FigureRule {
    more_is_better: bool,
    /// The figure of the same run that it is divided by.
    yardstick: Option<String>,
    /// How many times as bad as what is kept it may be.
    budget: Option<f64>,
    /// What it should be one day; nothing fails because of it.
    aim: Option<f64>,
    /// A value, and its yardstick's.
    kept: Option<(f64, Option<f64>)>,
}

impl FigureRule {
    fn read(fields: &FigureFields) -> anyhow::Result<Self> {
        let known = ["better", "yardstick", "budget", "aim", "kept", "kept_yardstick"];
        if let Some(other) = fields.keys().find(|key| !known.contains(&key.as_str())) {
            bail!("what is {other}?");
        }
        let number = |key: &str| match fields.get(key) {
            Some(value) => {
                value.as_f64().with_context(|| format!("{key} is not a number")).map(Some)
            }
            None => Ok(None),
        };
        let more_is_better = match fields.get("better").and_then(Value::as_str) {
            Some("more") => true,
            Some("less") => false,
            _ => bail!("better is more or less"),
        };
        let yardstick = fields.get("yardstick").and_then(Value::as_str).map(str::to_owned);
        let (kept, of_kept) = (number("kept")?, number("kept_yardstick")?);
        if kept.is_some() && yardstick.is_some() != of_kept.is_some() {
            bail!("a kept value has a kept_yardstick if the figure has a yardstick");
        }
        Ok(Self {
            more_is_better,
            yardstick,
            budget: number("budget")?,
            aim: number("aim")?,
            kept: kept.map(|kept| (kept, of_kept)),
        })
    }

    /// How many times as bad as what is kept; `None` where nothing can be compared.
    fn times_as_bad(&self, value: f64, yardstick: Option<f64>) -> Option<f64> {
        let (kept, of_kept) = self.kept?;
        let (now, then) = match (&self.yardstick, yardstick, of_kept) {
            (None, ..) => (value, kept),
            (Some(_), Some(yardstick), Some(of_kept)) => (value / yardstick, kept / of_kept),
            (Some(_), ..) => return None,
        };
        Some(if self.more_is_better { then / now } else { now / then })
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct FigureStanding {
    name: String,
    unit: String,
    measured: f64,
    kept: Option<f64>,
    /// Above 1 it got worse, whether more or less of it is better.
    ratio: Option<f64>,
    budget: Option<f64>,
    aim: Option<f64>,
}

impl FigureStanding {
    /// Whether it fell behind by more than it may.
    pub fn is_past_budget(&self) -> bool {
        matches!((self.ratio, self.budget), (Some(ratio), Some(budget)) if ratio > budget)
    }
}

impl fmt::Display for FigureStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |number: Option<f64>| number.map_or("–".to_owned(), |it| format!("{it:.2}"));
        write!(f, "{:<44} {:>12.2} {:<5}", self.name, self.measured, self.unit)?;
        write!(f, " {:>12} {:>8}", shown(self.kept), shown(self.ratio))?;
        write!(f, " {:>7} {:>10}", shown(self.budget), shown(self.aim))?;
        if self.is_past_budget() { write!(f, "  past its budget") } else { Ok(()) }
    }
}

/// The checked-in figures, by their names.
#[derive(Debug)]
pub struct KeptFigures(BTreeMap<String, FigureFields>);

impl KeptFigures {
    /// What is checked in.
    pub fn load() -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file()).context("cannot read docs/benchmarks.json")?;
        Ok(Self(serde_json::from_str(&text).context("docs/benchmarks.json")?))
    }

    /// Writes them back, one line for each.
    pub fn save(&self) -> anyhow::Result<()> {
        std::fs::write(file(), self.text()).context("cannot write docs/benchmarks.json")
    }

    fn text(&self) -> String {
        let pair = |name: &str, value: &str| format!("{}: {value}", Value::from(name));
        let line = |(name, fields): (&String, &FigureFields)| {
            let fields: Vec<String> =
                fields.iter().map(|(key, value)| pair(key, &value.to_string())).collect();
            format!("  {}", pair(name, &format!("{{ {} }}", fields.join(", "))))
        };
        let lines: Vec<String> = self.0.iter().map(line).collect();
        format!("{{\n{}\n}}\n", lines.join(",\n"))
    }

    fn rule(&self, name: &str) -> anyhow::Result<Option<FigureRule>> {
        let rule = self.0.get(name).map(FigureRule::read).transpose();
        rule.with_context(|| format!("docs/benchmarks.json: {name}"))
    }

    /// How each figure of a run stands beside what is kept of it.
    pub fn compare(&self, run: &[MeasuredFigure]) -> anyhow::Result<Vec<FigureStanding>> {
        let mut standings = Vec::with_capacity(run.len());
        for figure in run {
            let rule = self.rule(&figure.name)?;
            let ratio = rule.as_ref().and_then(|rule| {
                rule.times_as_bad(figure.value, value_of(run, rule.yardstick.as_deref()))
            });
            let rule = rule.unwrap_or_default();
            standings.push(FigureStanding {
                name: figure.name.clone(),
                unit: figure.unit.clone(),
                measured: figure.value,
                kept: rule.kept.map(|(kept, _)| kept),
                ratio,
                budget: rule.budget,
                aim: rule.aim,
            });
        }
        Ok(standings)
    }

    /// Takes over what a run measured of the figures that the file names, each with its yardstick. One whose yardstick
    /// was not measured stays as it is.
    pub fn keep(&mut self, run: &[MeasuredFigure]) -> anyhow::Result<()> {
        for figure in run {
            let Some(rule) = self.rule(&figure.name)? else { continue };
            let yardstick = value_of(run, rule.yardstick.as_deref());
            if rule.yardstick.is_some() && yardstick.is_none() {
                continue;
            }
            let Some(fields) = self.0.get_mut(&figure.name) else { continue };
            fields.insert("kept".to_owned(), figure.value.into());
            if let Some(yardstick) = yardstick {
                fields.insert("kept_yardstick".to_owned(), yardstick.into());
            }
        }
        Ok(())
    }
}

fn value_of(run: &[MeasuredFigure], name: Option<&str>) -> Option<f64> {
    run.iter().find(|figure| name == Some(figure.name.as_str())).map(|figure| figure.value)
}

fn file() -> PathBuf {
    root().join("docs/benchmarks.json")
}

/// The table of a run, a line for each figure.
pub fn table(standings: &[FigureStanding]) -> String {
    let mut text = format!(
        "{:<44} {:>12} {:<5} {:>12} {:>8} {:>7} {:>10}\n",
        "figure", "measured", "", "kept", "ratio", "budget", "aim"
    );
    for standing in standings {
        text.push_str(&format!("{standing}\n"));
    }
    text
}

/// Fails when a figure is past its budget, and names each.
pub fn judge(standings: &[FigureStanding]) -> anyhow::Result<()> {
    let past: Vec<String> = standings
        .iter()
        .filter(|standing| standing.is_past_budget())
        .map(|standing| {
            let (ratio, budget) = (standing.ratio.unwrap_or(0.0), standing.budget.unwrap_or(0.0));
            format!("{} ({ratio:.2} times as bad, {budget:.2} allowed)", standing.name)
        })
        .collect();
    if past.is_empty() { Ok(()) } else { bail!("past the budget: {}", past.join(", ")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn figures(values: Value) -> KeptFigures {
        KeptFigures(serde_json::from_value(values).unwrap())
    }

    fn run(values: &[(&str, f64)]) -> Vec<MeasuredFigure> {
        let line = |(name, value): &(&str, f64)| {
            json!({ "name": name, "unit": "ms", "median": value }).to_string()
        };
        values.iter().map(line).map(|line| MeasuredFigure::read(&line).unwrap()).collect()
    }

    fn past(kept: &KeptFigures, values: &[(&str, f64)]) -> Vec<String> {
        let standings = kept.compare(&run(values)).unwrap();
        let past = standings.into_iter().filter(FigureStanding::is_past_budget);
        past.map(|standing| standing.name).collect()
    }

    #[test]
    fn a_line_with_a_name_a_unit_and_a_median_is_a_figure() {
        let line = r#"{"name":"a.rate","unit":"1/s","median":2.5,"min":2.0,"runs":3}"#;
        let figure = MeasuredFigure::read(line).unwrap();
        assert_eq!(figure.to_string(), "a.rate: 2.50 1/s (min 2.00, runs 3.00)");
        for other in ["", "a.rate 2.5", "[1]", r#"{"name":"a.rate","median":2}"#, r#"{"unit":"s"}"#]
        {
            assert_eq!(MeasuredFigure::read(other), None, "{other}");
        }
    }

    #[test]
    fn more_or_less_may_be_better() {
        let kept = figures(json!({
            "a.wait": { "better": "less", "budget": 1.5, "kept": 10.0 },
            "a.rate": { "better": "more", "budget": 1.5, "kept": 10.0 },
        }));
        assert_eq!(past(&kept, &[("a.wait", 14.9), ("a.rate", 6.7)]), Vec::<String>::new());
        assert_eq!(past(&kept, &[("a.wait", 15.1), ("a.rate", 100.0)]), ["a.wait"]);
        assert_eq!(past(&kept, &[("a.wait", 0.1), ("a.rate", 6.6)]), ["a.rate"]);
        assert_eq!(past(&kept, &[("a.rate", 0.0)]), ["a.rate"]);
    }

    #[test]
    fn a_slower_machine_is_slower_in_its_yardstick_too() {
        let kept = figures(json!({
            "a.rate": {
                "better": "more", "yardstick": "a.bare", "budget": 1.2, "kept": 100.0, "kept_yardstick": 1000.0,
            },
        }));
        assert_eq!(past(&kept, &[("a.bare", 500.0), ("a.rate", 50.0)]), Vec::<String>::new());
        assert_eq!(past(&kept, &[("a.rate", 80.0), ("a.bare", 1000.0)]), ["a.rate"]);
        // Without the yardstick nothing can be said.
        let standings = kept.compare(&run(&[("a.rate", 1.0)])).unwrap();
        assert_eq!((standings[0].kept, standings[0].ratio), (Some(100.0), None));
    }

    #[test]
    fn what_is_not_kept_or_not_named_is_not_judged() {
        let kept = figures(json!({
            "a.new": { "better": "less", "budget": 1.0, "aim": 1.0 },
            "a.shown": { "better": "less", "kept": 1.0 },
        }));
        let values = [("a.new", 99.0), ("a.shown", 99.0), ("a.other", 99.0)];
        assert_eq!(past(&kept, &values), Vec::<String>::new());
        judge(&kept.compare(&run(&values)).unwrap()).unwrap();
    }

    #[test]
    fn every_figure_past_its_budget_is_named() {
        let rule = json!({ "better": "less", "budget": 2.0, "kept": 1.0 });
        let kept = figures(json!({ "a.one": rule, "a.two": rule, "a.three": rule }));
        let values = [("a.one", 3.0), ("a.two", 2.0), ("a.three", 4.0)];
        let standings = kept.compare(&run(&values)).unwrap();
        assert_eq!(
            judge(&standings).unwrap_err().to_string(),
            "past the budget: a.one (3.00 times as bad, 2.00 allowed), a.three (4.00 times as bad, 2.00 allowed)"
        );
        let lines = table(&standings);
        assert_eq!(lines.lines().filter(|line| line.ends_with("past its budget")).count(), 2);
    }

    #[test]
    fn what_was_measured_is_kept_with_its_yardstick_and_nothing_else_changes() {
        let mut kept = figures(json!({
            "a.alone": { "better": "less", "kept": 5.0 },
            "a.rate": { "better": "more", "yardstick": "a.bare", "budget": 1.5 },
            "a.wait": { "better": "less", "yardstick": "a.commit" },
        }));
        kept.keep(&run(&[("a.rate", 10.0), ("a.bare", 20.0), ("a.wait", 3.0), ("b", 1.0)]))
            .unwrap();
        let wanted = json!({
            "a.alone": { "better": "less", "kept": 5.0 },
            "a.rate": {
                "better": "more", "yardstick": "a.bare", "budget": 1.5, "kept": 10.0, "kept_yardstick": 20.0,
            },
            "a.wait": { "better": "less", "yardstick": "a.commit" },
        });
        let again: Value = serde_json::from_str(&kept.text()).unwrap();
        assert_eq!(again, wanted);
        assert_eq!(kept.text().lines().count(), 5);
        assert_eq!(past(&kept, &[("a.rate", 5.0), ("a.bare", 20.0)]), ["a.rate"]);
    }

    #[test]
    fn a_rule_that_says_nothing_sensible_is_refused() {
        for rule in [
            json!({}),
            json!({ "better": "bigger" }),
            json!({ "better": "less", "kept": "1" }),
            json!({ "better": "less", "bugdet": 1.0 }),
            json!({ "better": "less", "yardstick": "a.bare", "kept": 1.0 }),
        ] {
            let error = figures(json!({ "a": rule })).compare(&run(&[("a", 1.0)])).unwrap_err();
            assert_eq!(error.to_string(), "docs/benchmarks.json: a");
        }
    }

    #[test]
    fn what_is_checked_in_can_be_read_and_is_written_the_same() {
        let kept = KeptFigures::load().unwrap();
        for name in kept.0.keys() {
            let rule = kept.rule(name).unwrap().unwrap();
            assert!(rule.budget.is_none_or(|budget| budget >= 1.0), "{name}");
            // Of the same benchmark: of the same run.
            let benchmark = |name: &str| name.split('.').next().map(str::to_owned);
            let yardstick = rule.yardstick.as_deref();
            assert!(yardstick.is_none_or(|other| benchmark(other) == benchmark(name)), "{name}");
        }
        assert_eq!(kept.text(), std::fs::read_to_string(file()).unwrap());
    }
}
