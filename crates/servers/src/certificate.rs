//! A certificate for a server on this machine, and who signed it.

use std::path::{Path, PathBuf};

use crate::{
    ServerError,
    programs::{User, find, run},
};

/// Debian's package.
const PACKAGE: &str = "openssl";

/// The certificate of who signed.
pub(crate) fn authority(directory: &Path) -> PathBuf {
    directory.join("authority.crt")
}

/// Makes `server.crt` and `server.key`, for the address 127.0.0.1 and some days.
pub(crate) fn make(directory: &Path, user: User) -> Result<(), ServerError> {
    let names = directory.join("names");
    std::fs::write(&names, "subjectAltName = IP:127.0.0.1\n").map_err(ServerError::io("names"))?;
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    openssl(
        directory,
        user,
        &[
            &["req", "-x509", "-days", "9", "-subj", "/CN=authority"],
            &key[..],
            &["-keyout", "authority.key", "-out", "authority.crt"],
        ],
    )?;
    openssl(
        directory,
        user,
        &[&["req", "-subj", "/CN=server"], &key[..], &["-keyout", "server.key", "-out", "server.csr"]],
    )?;
    openssl(
        directory,
        user,
        &[
            &["x509", "-req", "-in", "server.csr", "-CA", "authority.crt"],
            &["-CAkey", "authority.key", "-CAcreateserial", "-days", "9"],
            &["-extfile", "names", "-out", "server.crt"],
        ],
    )
}

fn openssl(directory: &Path, user: User, arguments: &[&[&str]]) -> Result<(), ServerError> {
    let mut command = user.command(&find("openssl", PACKAGE)?, directory);
    command.args(arguments.concat());
    run(command).map(|_| ())
}
