//! What the program tells a service manager: a socket in a folder stands for systemd's.

use std::{
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;

use crate::support::{LIMIT, Prepared};

/// The program is asked to be heard of twice in this time.
const WATCHDOG_MICROS: &str = "400000";

/// The side that listens.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn listen(folder: &Path) -> Self {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Self { socket, path }
    }

    fn env(&self) -> [(&'static str, &str); 2] {
        [("NOTIFY_SOCKET", self.path.to_str().unwrap()), ("WATCHDOG_USEC", WATCHDOG_MICROS)]
    }

    /// The next message that begins with a word.
    fn until(&self, word: &str) -> String {
        let mut seen = vec![];
        loop {
            let mut bytes = [0; 4096];
            let Ok(length) = self.socket.recv(&mut bytes) else {
                panic!("no {word} in {LIMIT:?}; these came: {seen:?}");
            };
            let message = String::from_utf8(bytes[..length].to_vec()).unwrap();
            if message.starts_with(word) {
                return message;
            }
            seen.push(message);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_of_the_begin_of_life_and_of_the_end() {
    let house = Prepared::new().await;
    let manager = Manager::listen(house.data());
    let running = house.start_with(&manager.env());
    let ready = manager.until("READY=1");
    assert!(ready.contains("\nSTATUS=listens on 127.0.0.1:"), "{ready}");
    assert_eq!(running.api().get("/health/live").await["status"], "ok");
    for _ in 0..3 {
        assert_eq!(manager.until("WATCHDOG=1"), "WATCHDOG=1\n");
    }
    assert!(running.terminate().success());
    manager.until("STOPPING=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_stands_still_is_not_heard_of() {
    let house = Prepared::new().await;
    let manager = Manager::listen(house.data());
    let running = house.start_with(&manager.env());
    manager.until("READY=1");
    running.halt();
    manager.socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    // What it told before it stood still is read first.
    let falls_silent = (0..20).any(|_| manager.socket.recv(&mut [0; 4096]).is_err());
    running.go_on();
    assert!(falls_silent, "the watchdog would not end it");
    manager.socket.set_read_timeout(Some(LIMIT)).unwrap();
    manager.until("WATCHDOG=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_place_is_no_stop() {
    let house = Prepared::new().await;
    let manager = Manager::listen(house.data());
    let running = house.start_with(&manager.env());
    manager.until("READY=1");
    let (status, answer) = running.api().post("/infra/restart", &json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let reloading = manager.until("RELOADING=1");
    assert!(reloading.contains("\nMONOTONIC_USEC="), "{reloading}");
    // The process id is the same, so the manager goes on with what it knows.
    manager.until("READY=1");
    manager.until("WATCHDOG=1");
    assert!(running.terminate().success());
    manager.until("STOPPING=1");
}
