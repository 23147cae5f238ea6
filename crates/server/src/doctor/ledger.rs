//! The ledger: whether it can be reached and read, is whole and of this version, and what waits in it.

use std::time::Duration;

use domain::Timestamp;
use storage::{Database, LedgerFacts, LedgerWork, MasterKey};

use super::report::Finding;
use crate::{config::Settings, stores};

/// Clocks that are further apart are worth a word.
const SKEW_MAX: Duration = Duration::from_secs(5);
/// What was written later than now by more than this was written with another clock.
const FUTURE_MAX: Duration = Duration::from_secs(60);
/// The longest look: reading a large file takes its time.
const LOOK_LIMIT: Duration = Duration::from_secs(600);

/// Everything about the ledger.
pub async fn look(settings: &Settings, key: Option<&MasterKey>, now: Timestamp) -> Vec<Finding> {
    const CHECK: &str = "ledger";
    let database = stores::database(settings);
    let place = match &database {
        Database::Sqlite { path } => path.display().to_string(),
        Database::Postgres(target) => format!("PostgreSQL, {target}"),
    };
    if let Database::Sqlite { path } = &database
        && std::fs::metadata(path).map_or(0, |found| found.len()) == 0
    {
        let advice = "`waypost serve` makes one; if there was one, name its folder with data.dir \
                      (WAYPOST_DATA_DIR), or restore a backup";
        return vec![Finding::warning(CHECK, format!("none at {place}"), advice)];
    }
    let stuck_before = now.minus(Duration::from_millis(settings.webhooks.stall_limit_ms));
    let looking = storage::inspect(&database, key, stuck_before);
    let facts = match tokio::time::timeout(LOOK_LIMIT, looking).await {
        Ok(Ok(facts)) => facts,
        Ok(Err(error)) => {
            let says = format!("{place} cannot be read: {:#}", anyhow::Error::new(error));
            return vec![Finding::problem(CHECK, says, unreachable(&database))];
        }
        Err(_) => {
            let says = format!("{place} could not be looked at within {LOOK_LIMIT:?}");
            return vec![Finding::warning(CHECK, says, "look at the load of its disk")];
        }
    };
    let mut findings = vec![whole(&place, &facts), version(&facts)];
    findings.extend(opened(&facts));
    findings.extend(clocks(&facts, now));
    if let Some(work) = &facts.work {
        findings.extend(waiting(work));
    }
    findings
}

fn unreachable(database: &Database) -> &'static str {
    match database {
        Database::Sqlite { .. } => {
            "run this as the gateway's user; look at the rights of the file and at its disk"
        }
        Database::Postgres(_) => {
            "see that the server runs and takes this user and password (DATABASE_HOST, DATABASE_PORT, \
             DATABASE_USERNAME, DATABASE_PASSWORD), and that nothing between blocks the port"
        }
    }
}

fn whole(place: &str, facts: &LedgerFacts) -> Finding {
    match facts.damage.first() {
        None => Finding::good("ledger", format!("{place} can be read")),
        Some(first) => Finding::problem(
            "ledger",
            format!("{place} is damaged: {first}"),
            "stop the gateway, keep a copy of the folder, and restore the last good backup with `waypost restore FILE \
             --replace`; then look at the disk",
        ),
    }
}

fn version(facts: &LedgerFacts) -> Finding {
    const CHECK: &str = "tables";
    let newest = facts.newest;
    match facts.schema {
        None => Finding::warning(CHECK, "there are none yet", "`waypost serve` makes them"),
        Some(schema) if schema > newest => Finding::problem(
            CHECK,
            format!("version {schema}, and this program knows {newest}"),
            "start the newer version of the program that made them, or restore a backup from before",
        ),
        Some(schema) if schema < newest => Finding::warning(
            CHECK,
            format!("version {schema}; this program brings them to {newest} at its next start"),
            "make a backup first: the way back is only by one",
        ),
        Some(schema) => Finding::good(CHECK, format!("version {schema}")),
    }
}

fn opened(facts: &LedgerFacts) -> Option<Finding> {
    const CHECK: &str = "encryption";
    Some(match facts.key_fits? {
        true => Finding::good(CHECK, "the master key opens the ledger"),
        false => Finding::problem(
            CHECK,
            "the master key does not open this ledger",
            "set the WAYPOST_MASTER_KEY it was made with, or put that key file back; no other key ever opens it",
        ),
    })
}

fn clocks(facts: &LedgerFacts, now: Timestamp) -> Option<Finding> {
    const CHECK: &str = "clock";
    let apart = |other: Timestamp| now.since(other).max(other.since(now));
    if let Some(server) = facts.server_time {
        let apart = apart(server);
        let says = format!("{} ms apart from the database server's", apart.as_millis());
        return Some(match apart > SKEW_MAX {
            true => Finding::warning(CHECK, says, "let NTP set the clocks of both machines"),
            false => Finding::good(CHECK, says),
        });
    }
    let written = facts.work.and_then(|work| work.written_at)?;
    let ahead = written.since(now);
    (ahead > FUTURE_MAX).then(|| {
        Finding::warning(
            CHECK,
            format!("something was stored {} s from now: the clock was set back", ahead.as_secs()),
            "let NTP set it; times of messages and retries depend on it",
        )
    })
}

/// What waits, and what was given up.
fn waiting(work: &LedgerWork) -> Vec<Finding> {
    let lanes = match work.stuck_lanes {
        0 => Finding::good("lanes", "nothing waits for longer than it should"),
        lanes => Finding::warning(
            "lanes",
            format!(
                "{lanes} lanes are stuck with {} deliveries, the oldest since {}",
                work.stuck_deliveries,
                work.stuck_since.map_or_else(String::new, Timestamp::iso)
            ),
            "GET /api/lanes says for each why it waits; most often its receiver does not answer 2xx",
        ),
    };
    let dead = match work.dead_letters {
        0 => Finding::good("dead letters", "none"),
        dead => Finding::warning(
            "dead letters",
            format!("{dead} deliveries were given up"),
            "mend the receiver, then send them again: GET /api/webhooks/delivery-failures, then POST …/redrive \
             (docs/webhooks.md)",
        ),
    };
    let mut findings = vec![lanes, dead];
    if work.stale_leases > 0 {
        findings.push(Finding::warning(
            "leases",
            format!("{} sessions belong to a process that is gone", work.stale_leases),
            "a gateway that runs takes them over within seconds: start one, or see why it does not",
        ));
    }
    if work.put_aside > 0 {
        findings.push(Finding::warning(
            "quarantine",
            format!("{} incoming messages could not be stored", work.put_aside),
            "report it; they are kept, encrypted, in the table quarantine",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::DoctorVerdict;

    fn facts(schema: i64) -> LedgerFacts {
        LedgerFacts { schema: Some(schema), newest: 30, ..LedgerFacts::default() }
    }

    #[test]
    fn only_tables_of_a_newer_program_are_broken() {
        assert_eq!(version(&facts(30)).verdict, DoctorVerdict::Ok);
        assert_eq!(version(&facts(29)).verdict, DoctorVerdict::Warning);
        assert_eq!(version(&facts(31)).verdict, DoctorVerdict::Problem);
    }

    #[test]
    fn clocks_are_compared_with_what_is_here() {
        let now = Timestamp::from_millis(1_790_841_600_000);
        let with = |server: i64| LedgerFacts {
            server_time: Some(Timestamp::from_millis(now.millis() + server)),
            ..facts(30)
        };
        for (apart, verdict) in
            [(0, DoctorVerdict::Ok), (-4000, DoctorVerdict::Ok), (9000, DoctorVerdict::Warning)]
        {
            assert_eq!(clocks(&with(apart), now).unwrap().verdict, verdict, "{apart}");
        }
        assert!(clocks(&facts(30), now).is_none());
    }

    #[test]
    fn what_waits_is_told_with_what_to_do() {
        assert!(waiting(&LedgerWork::default()).iter().all(|one| one.verdict == DoctorVerdict::Ok));
        let work =
            LedgerWork { stuck_lanes: 2, dead_letters: 3, put_aside: 1, ..LedgerWork::default() };
        let found = waiting(&work);
        assert_eq!(found.iter().filter(|one| one.advice.is_some()).count(), 3);
    }
}
