//! Where a demo keeps its data.

use std::path::{Path, PathBuf};

use anyhow::Context;

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
        Ok(Self { path, temporary: wanted.is_none() })
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
