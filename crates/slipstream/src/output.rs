//! What commands print.

use std::io::{self, ErrorKind, Write};

use anyhow::Context;

/// Prints an answer. A reader that has gone away (`| head`) has what it wanted.
///
/// # Errors
/// When standard output cannot be written otherwise, such as on a full disk.
pub fn print(text: &str) -> anyhow::Result<()> {
    write(&mut io::stdout().lock(), text)
}

fn write(out: &mut impl Write, text: &str) -> anyhow::Result<()> {
    match writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Refusing(ErrorKind);

    impl Write for Refusing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_is_no_error_and_a_full_disk_is() {
        assert!(write(&mut Refusing(ErrorKind::BrokenPipe), "text").is_ok());
        let full = write(&mut Refusing(ErrorKind::StorageFull), "text").unwrap_err();
        assert!(full.to_string().contains("standard output"), "{full}");
        let mut out = Vec::new();
        write(&mut out, "a\n\n").unwrap();
        assert_eq!(out, b"a\n");
    }
}
