//! Where a demo keeps its data.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::commands::DATABASE;

/// Name of the file that tells a demo's directory.
const MARK: &str = "demo";

/// A data directory. One that nobody asked for is removed when it is dropped.
pub struct DataDirectory {
    /// Where it is.
    pub path: PathBuf,
    temporary: bool,
}

impl DataDirectory {
    /// Makes the directory that is wanted, or a fresh one.
    ///
    /// # Errors
    /// When it cannot be made, or no control socket could be made in it.
    pub fn make(wanted: Option<&Path>) -> anyhow::Result<Self> {
        let path = wanted.map_or_else(fresh, Path::to_owned);
        crate::socket::check_path(&path)?;
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let marked = path.join(MARK);
        ensure!(
            marked.exists() || !path.join(DATABASE).exists(),
            "{} is no demo's: there is an installation in it, which a demo would spoil; name another --data-dir",
            path.display()
        );
        std::fs::write(&marked, "").with_context(|| format!("cannot write {}", marked.display()))?;
        Ok(Self { path, temporary: wanted.is_none() })
    }

    /// Refuses a directory that a demo has made: its keys are known to everybody, and its trades never happened.
    ///
    /// # Errors
    /// With what to do.
    pub fn refuse(path: &Path) -> anyhow::Result<()> {
        ensure!(
            !path.join(MARK).exists(),
            "{} is a demo's data directory: its trades never happened. `slipstream init` makes an installation",
            path.display()
        );
        Ok(())
    }

    /// Leaves the directory where it is, to be looked at.
    pub const fn keep(&mut self) {
        self.temporary = false;
    }
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        if self.temporary {
            // Nothing to do about a directory that cannot be removed.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn fresh() -> PathBuf {
    let mut mark = [0; 4];
    let _ = rustix::rand::getrandom(&mut mark, rustix::rand::GetRandomFlags::empty());
    std::env::temp_dir().join(format!("slipstream-demo-{}", hex::encode(mark)))
}
