//! What is shipped beside the program, held against the program. The tests here are the guard.

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::run::root;

    fn read(path: &str) -> String {
        std::fs::read_to_string(root().join(path)).unwrap()
    }

    /// Words of a text that begin like a metric of ours.
    fn metrics(text: &str) -> BTreeSet<String> {
        text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .filter(|word| word.starts_with("waypost_") || word.starts_with("openwa_"))
            .map(str::to_owned)
            .collect()
    }

    fn in_code() -> BTreeSet<String> {
        let mut found = metrics(&read("crates/gateway/src/metrics.rs"));
        found.extend(metrics(&read("crates/api/src/metrics.rs")));
        found
    }

    #[test]
    fn alerts_and_the_grafana_dashboard_ask_for_metrics_that_there_are() {
        let known = in_code();
        for file in ["packaging/prometheus/waypost.rules.yaml", "packaging/grafana/waypost.json"] {
            let asked = metrics(&read(file));
            assert!(asked.len() > 5, "{file}");
            let unknown: Vec<_> = asked.difference(&known).collect();
            assert!(unknown.is_empty(), "{file}: {unknown:?}");
        }
    }

    #[test]
    fn every_alert_says_what_to_do() {
        let rules = read("packaging/prometheus/waypost.rules.yaml");
        let alerts = rules.split("- alert: ").skip(1);
        let mut names = BTreeSet::new();
        for alert in alerts {
            let name = alert.lines().next().unwrap();
            assert!(names.insert(name), "{name} twice");
            for field in ["expr: ", "severity: ", "summary: ", "action: "] {
                assert!(alert.contains(field), "{name} has no {field}");
            }
        }
        assert!(names.len() >= 8);
    }
}
