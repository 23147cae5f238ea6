//! The network, driven by real engine clients.

mod support;

mod admin;
mod bulk;
mod chat;
mod contacts;
mod core;
mod faults;
mod golden_codec;
mod golden_noise;
mod groups;
mod links;
mod media;
mod pairing;
mod persistence;
mod phone;
