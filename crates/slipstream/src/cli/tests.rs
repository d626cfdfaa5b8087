//! The command line is sound, and says what the configuration says.

use clap::CommandFactory;

use super::*;
use crate::configuration::keys::{BUILT_IN_FOLLOWERS, DEMO, Sample};

/// The defaults are the table's; clap cannot know them, because the configuration comes between.
#[test]
fn help_names_the_defaults_of_the_configuration() {
    let mut command = Cli::command();
    command.build();
    let demo = command.find_subcommand("demo").unwrap();
    let help = |flag: &str| {
        let argument = demo.get_arguments().find(|argument| argument.get_id() == flag).unwrap();
        argument.get_help().unwrap().to_string()
    };
    for key in DEMO {
        let help = help(key.name);
        match key.sample {
            Sample::Default("false") => assert!(!help.contains("default")),
            Sample::Default(word) => assert!(help.ends_with(&format!("[default: {word}]")), "{help}"),
            Sample::Example(_) => {}
        }
    }
    assert!(help("followers").contains(&format!("[default: {BUILT_IN_FOLLOWERS},")));
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}
