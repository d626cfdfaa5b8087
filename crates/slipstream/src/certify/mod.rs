//! `slipstream certify`: a fixed script that asks the venue what its documentation leaves open, compares the
//! answers with what this program relies on, and keeps a redacted transcript.
//!
//! It owns the questions, what each relies on, and the transcript. It never asks for more dollars than its cap:
//! every order is a buy at the lowest price there is, below what anybody offers, unless one small fill is wished for. It stores nothing but the
//! transcript, and it is no part of the engine.

pub mod command;
mod finding;
mod place;
mod questions;
mod recorder;
mod redaction;
mod resting;
mod stage;
#[cfg(test)]
mod tests;
mod transcript;
mod words;
