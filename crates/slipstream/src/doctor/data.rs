//! The data directory: who may read it, whether there is room, and whether the database is whole.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use domain::Clock;
use engine::{deadline::within, ports::store::StoreError};
use store::{OpenError, SCHEMA_VERSION, SqlStore};

use super::finding::Finding;
use crate::{
    backup::LAST_BACKUP,
    commands::DATABASE,
    place::{Place, Servers},
    secrets::{self, InstallationSecret},
    socket,
    wording::{grouped, lasting},
};

/// What helps where nothing is wrong but the disk.
const NO_ROOM: &str = "make room on the disk; what was committed is whole, and no backup is needed";
const AREA: &str = "data";
/// Less room than this, and the next commits may fail.
const LEAST_ROOM: u64 = 200 << 20;
/// Less than this is worth a word.
const LITTLE_ROOM: u64 = 2 << 30;
/// A backup that is older is worth a word.
const OLD_BACKUP: Duration = Duration::from_hours(7 * 24);
/// How long reading every page may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at a directory; the store as far as it can be read.
pub(super) async fn look(
    directory: &Path,
    place: anyhow::Result<Place>,
    clock: &Arc<dyn Clock>,
) -> (Option<SqlStore>, Vec<Finding>) {
    let mut findings = Vec::new();
    if let Err(error) = socket::check_path(directory) {
        findings.push(Finding::fail(
            (AREA, "path"),
            format!("{error:#}"),
            "name a directory with a shorter path",
        ));
    }
    let metadata = match fs::metadata(directory) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let fix = "`slipstream init` makes an installation; --data-dir or [run] data_dir names another directory";
            findings.push(Finding::warn(
                (AREA, "directory"),
                format!("{} is not there yet", directory.display()),
                fix,
            ));
            return (None, findings);
        }
        Err(error) => {
            let fix = "let the user who runs this read it, or name another one";
            findings.push(Finding::fail(
                (AREA, "directory"),
                format!("{}: {error}", directory.display()),
                fix,
            ));
            return (None, findings);
        }
    };
    findings.push(owner(directory, &metadata));
    findings.extend(room(directory));
    findings.push(secret(directory));
    match place {
        Ok(Place { servers: Some(servers), .. }) => {
            let (store, finding) = on_servers(&servers).await;
            findings.push(finding);
            return (store, findings);
        }
        Ok(_) => {}
        Err(error) => {
            let fix = "name both servers, or none";
            findings.push(Finding::fail((AREA, "servers"), format!("{error:#}"), fix));
            return (None, findings);
        }
    }
    let file = directory.join(DATABASE);
    if !file.exists() {
        findings.push(Finding::warn((AREA, "database"), "there is none yet", "`slipstream init` makes one"));
        return (None, findings);
    }
    let store = database(&file, clock, &mut findings).await;
    findings.push(backup(directory, clock.as_ref()));
    (store, findings)
}

/// The books that many processes share.
async fn on_servers(servers: &Servers) -> (Option<SqlStore>, Finding) {
    let what = (AREA, "database");
    match servers.look("doctor", 2).await {
        Ok(store) => (Some(store), Finding::ok(what, servers.shown())),
        Err(error) => {
            let fix = "see that the server runs, and that this machine and user may connect";
            (None, Finding::fail(what, format!("{error:#}"), fix))
        }
    }
}

fn owner(directory: &Path, metadata: &fs::Metadata) -> Finding {
    let what = (AREA, "directory");
    let (mode, shown) = (metadata.permissions().mode() & 0o777, directory.display());
    let us = rustix::process::geteuid().as_raw();
    if !metadata.is_dir() {
        return Finding::fail(what, format!("{shown} is no directory"), "name another one");
    }
    if metadata.uid() != us && us != 0 {
        let seen = format!("{shown} belongs to another user");
        return Finding::fail(what, seen, "run as that user, or give it to this one with `chown`");
    }
    if mode & 0o300 != 0o300 {
        let seen = format!("{shown} cannot be written (mode {mode:o})");
        return Finding::fail(what, seen, "run `chmod 700` on it");
    }
    if !store::may_be_written(directory) {
        let seen =
            format!("{shown} cannot be written: its file system can only be read, or it is not this user's");
        let fix =
            "mount it so that it can be written: nothing runs on it until then; commands that only read work";
        return Finding::fail(what, seen, fix);
    }
    if mode & 0o077 != 0 {
        let seen = format!("others may look into {shown} (mode {mode:o})");
        return Finding::warn(what, seen, "run `chmod 700` on it");
    }
    Finding::ok(what, format!("{shown}, for its owner alone"))
}

fn room(directory: &Path) -> Option<Finding> {
    let what = (AREA, "free disk");
    let told = rustix::fs::statvfs(directory).ok()?;
    let free = told.f_bavail.saturating_mul(told.f_frsize);
    let seen = format!("{} MiB", grouped(free >> 20));
    Some(if free < LEAST_ROOM {
        Finding::fail(
            what,
            seen,
            "make room: what cannot be written down is not sent, so nothing is copied then",
        )
    } else if free < LITTLE_ROOM {
        Finding::warn(what, seen, "make room before it is needed")
    } else {
        Finding::ok(what, seen)
    })
}

fn secret(directory: &Path) -> Finding {
    let what = (AREA, secrets::FILE);
    match InstallationSecret::read(directory) {
        Ok(Some(_)) => Finding::ok(what, "there, for its owner alone"),
        Ok(None) => Finding::warn(
            what,
            "is missing",
            "it is made with the first account; if there are accounts already, put the copy back that you keep beside your \
             backups",
        ),
        Err(error) => Finding::fail(
            what,
            format!("{error:#}"),
            "only its owner may read it (mode 600), and it has 32 bytes",
        ),
    }
}

async fn database(file: &Path, clock: &Arc<dyn Clock>, findings: &mut Vec<Finding>) -> Option<SqlStore> {
    let what = (AREA, "database");
    if let Ok(metadata) = fs::metadata(file)
        && metadata.permissions().mode() & 0o077 != 0
    {
        let mode = metadata.permissions().mode() & 0o777;
        let seen = format!("others may read it (mode {mode:o})");
        findings.push(Finding::warn(
            (AREA, "database file"),
            seen,
            format!("run `chmod 600` on {}", file.display()),
        ));
    }
    let restore = "stop what runs, keep a copy of the file, and `slipstream restore` the newest backup";
    let store = match SqlStore::look(file, Arc::clone(clock)).await {
        Ok(store) => store,
        Err(error @ OpenError::NewerSchema { .. }) => {
            findings.push(Finding::fail(what, error.to_string(), "run the newer version"));
            return None;
        }
        Err(error @ OpenError::Store(StoreError::Full(_))) => {
            findings.push(Finding::fail(what, error.to_string(), NO_ROOM));
            return None;
        }
        Err(error) => {
            findings.push(Finding::fail(what, error.to_string(), restore));
            return None;
        }
    };
    let begin = clock.uptime();
    let found = match within(clock.as_ref(), PATIENCE, store.examine()).await {
        Ok(Ok(found)) if found.damage.is_empty() => Finding::ok(
            what,
            format!(
                "whole, {} KiB, schema {} of {SCHEMA_VERSION}, written by version {}",
                grouped(found.bytes >> 10),
                found.schema,
                found.software
            ),
        ),
        Ok(Ok(found)) => Finding::fail(what, format!("damaged: {}", found.damage.join("; ")), restore),
        Ok(Err(error @ StoreError::Full(_))) => Finding::fail(what, error.to_string(), NO_ROOM),
        Ok(Err(error)) => Finding::fail(what, error.to_string(), restore),
        Err(_) => Finding::unknown(
            what,
            format!("not read whole within {PATIENCE:?}"),
            "run this while little happens",
        ),
    };
    findings.push(found.after(clock.uptime().saturating_sub(begin)));
    Some(store)
}

/// `slipstream backup` leaves a note; copies that were made otherwise are not known.
fn backup(directory: &Path, clock: &dyn Clock) -> Finding {
    let what = (AREA, "backup");
    let fix =
        "`slipstream backup FILE`, every day, to another disk; and once a copy of the secret, apart from it";
    let Ok(written) = fs::metadata(directory.join(LAST_BACKUP)).and_then(|note| note.modified()) else {
        return Finding::warn(what, "none was made by `slipstream backup`", fix);
    };
    let written = written.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = Duration::from_micros(u64::try_from(clock.now().0).unwrap_or(0));
    let age = now.saturating_sub(written);
    let seen = format!("the last one is {} old", lasting(age));
    if age > OLD_BACKUP { Finding::warn(what, seen, fix) } else { Finding::ok(what, seen) }
}
