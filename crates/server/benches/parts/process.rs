//! What a process of this machine uses, as proc(5) tells it.

use std::{path::Path, time::Duration};

/// One tick of the processor times there, on every Linux that we know.
const TICK_MILLIS: u64 = 10;

/// Resident memory, MiB.
pub fn resident_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}

/// Processor time of all threads so far, also of those that have ended.
pub fn processor_time(pid: u32) -> Duration {
    time_in(Path::new(&format!("/proc/{pid}"))).unwrap()
}

/// The same of the threads that have this name.
pub fn processor_time_of_threads(pid: u32, name: &str) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let folders = threads.map(|thread| thread.unwrap().path());
    let is_named = |folder: &Path| {
        std::fs::read_to_string(folder.join("comm")).is_ok_and(|it| it.trim() == name)
    };
    // A thread may end while we look: it counts no more.
    folders.filter(|folder| is_named(folder)).filter_map(|folder| time_in(&folder)).sum()
}

/// `utime` and `stime` of a process or a thread.
fn time_in(folder: &Path) -> Option<Duration> {
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    // The name before it may hold anything.
    let (_, behind_name) = stat.rsplit_once(") ")?;
    let mut fields = behind_name.split(' ').skip(11).map(|field| field.parse::<u64>());
    let ticks = fields.next()?.ok()? + fields.next()?.ok()?;
    Some(Duration::from_millis(ticks * TICK_MILLIS))
}
