//! The network, driven by real engine clients.

mod support;

mod core;
