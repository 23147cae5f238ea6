#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests drive real processes and a real clock"
)]

//! The built program, from outside: its commands, its signals, its life after `kill -9`.

mod archive;
mod backup;
mod bulk;
mod collector;
mod commands;
mod contract;
mod counting;
mod crash;
mod dashboard;
mod dice;
mod disk;
mod doctor;
mod failpoints;
mod forwarding;
mod gateways;
mod hostile;
mod ledgers;
mod numbers;
mod plugin_command;
mod plugin_crash;
mod redis;
mod restart;
mod safety;
mod sandbox;
mod sends;
mod service_manager;
mod strangers;
mod support;
mod testing_your_bot;
mod traces;
mod whereabouts;
mod workers;
mod wrong_input;
