//! The binary's own rooms: command line, composition, supervision, demo. A library only so that tests
//! can reach it.

pub mod account;
pub mod backup;
pub mod bench;
pub mod breakers;
pub mod certify;
pub mod chain;
pub mod channels;
pub mod chaos;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod composition;
pub mod configuration;
pub mod crash;
pub mod db_command;
pub mod demo;
pub mod discretion;
pub mod doctor;
pub mod export;
pub mod following;
mod health;
pub mod holding;
pub mod instance;
mod leash;
pub mod logging;
pub mod manual;
pub mod measuring;
pub mod operations_desk;
mod operator;
pub mod ops_command;
pub mod output;
pub mod pages;
pub mod people;
pub mod place;
pub mod queue_command;
pub mod rpc_command;
pub mod run;
pub mod runtime;
pub mod seam;
pub mod secrets;
pub mod signer_command;
pub mod simulate;
pub mod socket;
pub mod sources_command;
pub mod terminal;
pub mod venue_clock;
pub mod verify;
mod whole_file;

#[cfg(test)]
mod story_tests;

pub use ::story::{self, copying_cost, prices, screen, wording};
