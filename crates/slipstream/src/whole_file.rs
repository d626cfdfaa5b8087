//! Small files that are whole or as they were, whatever ends the process or the machine.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Writes a file that its owner alone may read: under another name first, and on the disk before it takes its own.
///
/// # Errors
/// When it cannot be written; then what was there is there.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    // What a write that was cut off has left may belong to anybody.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    // Without this a power cut may leave the new name with nothing in it.
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_is_its_owners() {
        let directory = tempfile::tempdir().unwrap();
        let (path, left) = (directory.path().join("process"), directory.path().join("process.new"));
        // Somebody could read what was cut off.
        fs::write(&left, "a longer one that was cut o").unwrap();
        fs::set_permissions(&left, fs::Permissions::from_mode(0o644)).unwrap();
        for text in ["one", "another", ""] {
            write(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(!left.exists());
        }
        // Where the new one cannot be written, the old one stands.
        fs::create_dir(&left).unwrap();
        write(&path, b"lost").unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }
}
