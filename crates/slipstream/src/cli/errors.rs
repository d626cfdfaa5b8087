//! How the program says that something was not done: to people on standard error; to a program that asked for JSON as one
//! object on standard output.

use std::{io, process::ExitCode};

use serde_json::{Value, json};

use crate::{
    configuration::Mistakes, demo::paint::Paint, discretion::without_secrets, output::print, wording::causes,
};

/// Exit status of what cannot be understood, flags (as clap has it) and configurations alike.
pub(super) const BAD_INPUT: u8 = 2;

/// Says why a command did not do what it should; the exit status.
pub(super) fn refused(error: &anyhow::Error, json: bool) -> ExitCode {
    match error.downcast_ref::<Mistakes>() {
        Some(mistakes) => {
            complain_as(json, &mistakes.json(), &mistakes.text(Paint::of(&io::stderr())));
            ExitCode::from(BAD_INPUT)
        }
        None => {
            let words = without_secrets(&causes(error));
            complain_as(json, &json!({ "error": words }), &format!("slipstream: {words}"));
            ExitCode::FAILURE
        }
    }
}

/// To a program on standard output, to people on standard error.
pub(super) fn complain_as(json: bool, told: &Value, words: &str) {
    if json {
        // Whoever does not read it knows the exit status.
        let _ = print(&format!("{told:#}"));
    } else {
        complain(words);
    }
}

#[expect(clippy::print_stderr, reason = "this is where the program speaks to people")]
pub(super) fn complain(text: &str) {
    eprintln!("{text}");
}
