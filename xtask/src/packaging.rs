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
        let files = ["gateway/src/metrics.rs", "api/src/metrics.rs", "api/src/rates.rs"];
        files.iter().flat_map(|file| metrics(&read(&format!("crates/{file}")))).collect()
    }

    #[test]
    fn alerts_the_grafana_dashboard_and_the_docs_ask_for_metrics_that_there_are() {
        let known = in_code();
        for file in [
            "packaging/prometheus/waypost.rules.yaml",
            "packaging/grafana/waypost.json",
            "docs/operations.md",
        ] {
            let asked = metrics(&read(file));
            assert!(asked.len() > 5, "{file}");
            let unknown: Vec<_> = asked.difference(&known).collect();
            assert!(unknown.is_empty(), "{file}: {unknown:?}");
        }
    }

    /// The value of a setting of the unit.
    fn of_unit(name: &str) -> String {
        let unit = read("packaging/systemd/waypost.service");
        let mut values = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let value = values.next().unwrap_or_else(|| panic!("the unit has no {name}"));
        assert_eq!(values.next(), None, "{name} twice");
        value.to_owned()
    }

    #[test]
    fn the_unit_waits_for_what_the_program_tells() {
        assert_eq!(of_unit("Type"), "notify");
        let told = read("crates/server/src/service_manager.rs");
        for word in ["NotifyState::Ready", "NotifyState::Stopping", "NotifyState::Watchdog"] {
            assert!(told.contains(word), "{word}");
        }
        assert!(of_unit("WatchdogSec").parse::<u64>().unwrap() >= 30);
        // A ledger is not left in the middle of an upgrade, nor a stop in the middle of a drain.
        assert_eq!(of_unit("TimeoutStartSec"), "infinity");
        let defaults = read("config.default.toml");
        let limit = defaults.lines().find_map(|line| line.strip_prefix("shutdown_limit_ms = "));
        let limit: u64 = limit.unwrap().split_whitespace().next().unwrap().parse().unwrap();
        assert!(of_unit("TimeoutStopSec").parse::<u64>().unwrap() * 1000 > 2 * limit);
        let again = read("crates/server/src/main.rs");
        let code = of_unit("RestartForceExitStatus");
        assert!(again.contains(&format!("const EXIT_AGAIN: u8 = {code};")));
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
