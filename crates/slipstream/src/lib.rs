//! The binary's own rooms: command line, composition, supervision, demo. A library only so that tests
//! can reach it.

pub mod account;
pub mod backup;
pub mod bench;
pub mod certify;
pub mod chain;
pub mod channels;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod composition;
pub mod configuration;
pub mod copying_cost;
pub mod crash;
pub mod demo;
pub mod export;
pub mod following;
pub mod instance;
pub mod logging;
pub mod manual;
pub mod output;
pub mod prices;
pub mod rpc_command;
pub mod run;
pub mod runtime;
pub mod seam;
pub mod secrets;
pub mod signer_command;
pub mod simulate;
pub mod socket;
pub mod sources_command;
pub mod story;
pub mod terminal;
pub mod venue_clock;
pub mod verify;
pub mod wording;
