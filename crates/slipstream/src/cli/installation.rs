//! Where an installation is, as flags, variables and the configuration say it, and the commands on its processes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::complain;
use crate::{configuration::ConfigFile, place::Place};

/// Commands on processes.
#[derive(Debug, Subcommand)]
pub enum InstanceCommand {
    /// Which processes work on this installation.
    List {
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// Say that a process has ended that cannot be seen from here: what it held is free then, and it cannot sign any more.
    /// Be sure: what it may still be sending is sent anew.
    Ended {
        /// Its name, as `instance list` has it.
        name: String,
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
}

/// Where an installation is and how to print.
#[derive(Debug, Args)]
pub struct Installation {
    /// Its data directory [default: that of slipstream.toml]. A running process is asked over its socket.
    #[arg(long, value_name = "DIRECTORY", env = "SLIPSTREAM_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

impl Installation {
    /// Its data directory: the one that is named, else that of the configuration, whatever else is wrong in it: an
    /// installation must be seen and stopped while somebody edits.
    ///
    /// # Errors
    /// The configuration's mistakes, if its data directory cannot be told.
    pub fn directory(&self) -> anyhow::Result<PathBuf> {
        self.directory_by(&ConfigFile::of_environment())
    }

    /// The same with the servers of the configuration, if it names any.
    ///
    /// # Errors
    /// As [`Installation::directory`]; also when one server is named without the other.
    pub fn place(&self) -> anyhow::Result<Place> {
        self.place_by(&ConfigFile::of_environment())
    }

    /// The same where a flag may name the configuration.
    ///
    /// # Errors
    /// As [`Installation::place`].
    pub fn place_by(&self, config: &ConfigFile) -> anyhow::Result<Place> {
        let directory = self.directory_by(config)?;
        let (configuration, _) = config.configured_anyway();
        Place::of(&configuration, Some(&directory))
    }

    /// The same where a flag may name the configuration.
    ///
    /// # Errors
    /// The configuration's mistakes, if its data directory cannot be told.
    pub fn directory_by(&self, config: &ConfigFile) -> anyhow::Result<PathBuf> {
        match &self.data_dir {
            Some(named) => Ok(named.clone()),
            None => match config.configured() {
                Ok(configuration) => Ok(configuration.run.data_dir),
                Err(mistakes) => {
                    let directory = config.data_dir_alone().ok_or(mistakes)?;
                    complain(&format!(
                        "the configuration has mistakes (`slipstream config check FILE` tells them); of it only the \
                         data directory {} is used here",
                        directory.display()
                    ));
                    Ok(directory)
                }
            },
        }
    }
}
