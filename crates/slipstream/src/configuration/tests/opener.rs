//! What opens the keys is named once.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;

#[test]
fn a_file_that_opens_keys_does_not_stand_beside_a_signers_socket() {
    let there = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = there.path().join(name);
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let (socket, keys) = (file("s.sock"), file("keys.txt"));
    let both = only(&format!("[live]\nsocket = '{socket}'\nkey_file = '{keys}'\n"));
    assert!(both.starts_with("3:12 [live] key_file | stands beside `socket`"), "{both}");
    let by_variable =
        bad_with(&format!("[live]\nsocket = '{socket}'\n"), &[("SLIPSTREAM_LIVE_KEY_FILE", &keys)]);
    assert!(
        by_variable[0].starts_with("Environment SLIPSTREAM_LIVE_KEY_FILE | stands beside"),
        "{by_variable:?}"
    );
    let by_file = bad_with(&format!("[live]\nkey_file = '{keys}'\n"), &[("SLIPSTREAM_LIVE_SOCKET", &socket)]);
    assert!(by_file[0].contains("[live] key_file | stands beside"), "{by_file:?}");
    assert!(good(&format!("[live]\nsocket = '{socket}'\n")).live.key_file.is_none());
}
