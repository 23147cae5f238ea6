//! What is printed.

/// One line per measurement.
pub struct Report {
    pub json: bool,
}

impl Report {
    pub fn tell(&self, name: &str, unit: &str, runs: &[f64]) {
        let (median, least, most) = (quantile(runs, 0.5), quantile(runs, 0.0), quantile(runs, 1.0));
        if self.json {
            let line = serde_json::json!({
                "name": name, "unit": unit, "median": round(median), "min": round(least), "max": round(most),
                "runs": runs.len(),
            });
            println!("{line}");
        } else {
            println!(
                "{name:<36} {median:>10.2} {unit:<4} (min {least:.2}, max {most:.2}, {} runs)",
                runs.len()
            );
        }
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A quantile; 0 of nothing.
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * part).round() as usize).copied().unwrap_or(0.0)
}
