//! Addresses of servers: their names, and that no password is ever shown.

use super::{bad_with, good, variables};
use crate::configuration::read;
use std::path::Path;

const WHOLE: &str = "postgres://app:hunter2@db.example/slip";

#[test]
fn servers_are_named_in_the_file_and_shown_without_passwords() {
    let text = format!(
        "[database]\nurl = '{WHOLE}'\npooled_url = 'postgres://app:hunter2@pool:6432/slip'\nconnections = 5\n[queue]\nurl = \
         'redis://:hunter2@cache/2'"
    );
    let read = good(&text);
    let url = read.database.url.as_ref().unwrap();
    assert_eq!((url.expose(), url.to_string().as_str()), (WHOLE, "postgres://db.example/slip"));
    assert_eq!(read.database.pooled_url.as_ref().unwrap().to_string(), "postgres://pool:6432/slip");
    assert_eq!(read.database.connections, 5);
    assert_eq!(read.queue.url.as_ref().unwrap().expose(), "redis://:hunter2@cache/2");
    assert!(!read.effective().contains("hunter2"), "{}", read.effective());
    assert!(!format!("{read:?}").contains("hunter2"));
    let nothing = good("");
    assert_eq!((nothing.database.url, nothing.queue.url, nothing.database.connections), (None, None, 8));
}

#[test]
fn variables_have_the_names_that_everybody_knows() {
    let of = |list: &[(&str, &str)]| {
        read("", Path::new(""), "[database]\nurl = 'postgres://file/slip'", &variables(list))
    };
    for list in [
        &[("DATABASE_URL", WHOLE)][..],
        &[("PRODUCTION_DATABASE_URL", WHOLE)][..],
        &[("DATABASE_URL", WHOLE), ("PRODUCTION_DATABASE_URL", WHOLE)][..],
    ] {
        assert_eq!(of(list).unwrap().database.url.unwrap().expose(), WHOLE, "{list:?}");
    }
    let queue = of(&[("REDIS_URL", "redis://cache")]).unwrap().queue.url.unwrap();
    assert_eq!(queue.expose(), "redis://cache");
}

#[test]
fn names_that_differ_are_refused_with_everything_else() {
    let list = [
        ("DATABASE_URL", WHOLE),
        ("PRODUCTION_DATABASE_URL", "postgres://app:hunter2@other/slip"),
        ("REDIS_URL", "http://:hunter2@cache"),
        ("SLIPSTREAM_DATABASE_URL", WHOLE),
        ("SLIPSTREAM_DATABASE_CONNECTIONS", "0"),
    ];
    let found = bad_with("", &list);
    assert_eq!(found.len(), 4, "{found:#?}");
    for (about, what) in [
        (
            "PRODUCTION_DATABASE_URL",
            "says something else than DATABASE_URL; set one of them, or both to the same",
        ),
        ("REDIS_URL", "must be `redis://"),
        ("SLIPSTREAM_DATABASE_URL", "did you mean `DATABASE_URL`?"),
        ("SLIPSTREAM_DATABASE_CONNECTIONS", "must be a whole number from 2 to 200"),
    ] {
        let told = found.iter().find(|told| told.contains(&format!(" {about}")) || told.starts_with(about));
        assert!(told.is_some_and(|told| told.contains(what)), "{about}: {found:#?}");
    }
    assert!(!found.concat().contains("hunter2"), "{found:#?}");
}
