//! What is asked of a person at the terminal. A secret is read letter by letter, without showing it.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use anyhow::{Context, bail, ensure};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// Bytes of a line: a recovery phrase pasted by mistake must be told as such.
const LONGEST_LINE: usize = 1_024;
/// What the keys send: end of text (Ctrl-C), end of transmission (Ctrl-D), backspace and delete.
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: [u8; 2] = [8, 127];
/// Back to the first column, and erases the line (ECMA-48: CR, EL).
const CLEAR_LINE: &str = "\r\u{1b}[K";

/// Whether somebody can be asked.
#[must_use]
pub fn is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// A line on the terminal that says what is waited for, gone when this is dropped. Nothing where standard error is none.
pub struct Progress(bool);

impl Progress {
    /// Says it.
    #[must_use]
    pub fn begin(what: &str) -> Self {
        let shown = io::stderr().is_terminal() && say(&format!("{what} …")).is_ok();
        Self(shown)
    }

    /// Says something else in its place.
    pub fn now(&self, what: &str) {
        if self.0 {
            let _ = say(&format!("{CLEAR_LINE}{what} …"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.0 {
            let _ = say(CLEAR_LINE);
        }
    }
}

/// Asks for a line that everybody may see.
///
/// # Errors
/// When nobody can be asked.
pub fn ask(question: &str) -> anyhow::Result<String> {
    ensure!(is_there(), "nobody can be asked: standard input is no terminal");
    say(question)?;
    let mut line = String::new();
    io::stdin().read_line(&mut line).context("cannot read from the terminal")?;
    Ok(line.trim().to_owned())
}

/// Asks for a secret.
///
/// # Errors
/// When nobody can be asked, or who was asked breaks off.
pub fn ask_secret(question: &str) -> anyhow::Result<Zeroizing<String>> {
    ensure!(is_there(), "nobody can be asked: standard input is no terminal");
    say(question)?;
    let silent = Silent::begin()?;
    let line = read_secret(io::stdin().lock().bytes());
    drop(silent);
    say("\n")?;
    line
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = io::stderr();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to the terminal")
}

/// The terminal while it shows nothing. It is as it was when this is dropped; keys that would end the program are
/// letters meanwhile, so that no way out is missed.
struct Silent(Termios);

impl Silent {
    fn begin() -> anyhow::Result<Self> {
        let before = tcgetattr(io::stdin()).context("the terminal cannot be set")?;
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent).context("the terminal cannot be set")?;
        Ok(Self(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

fn read_secret(letters: impl Iterator<Item = io::Result<u8>>) -> anyhow::Result<Zeroizing<String>> {
    // Its whole room at once: a buffer that grew would leave copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST_LINE));
    for letter in letters {
        match letter.context("cannot read from the terminal")? {
            b'\n' | b'\r' => break,
            CTRL_C | CTRL_D => bail!("broken off; nothing was changed"),
            letter if BACKSPACE.contains(&letter) => {
                // A whole letter, however many bytes it has.
                while line.pop().is_some_and(|byte| (0x80..0xc0).contains(&byte)) {}
            }
            letter => {
                ensure!(line.len() < LONGEST_LINE, "more than {LONGEST_LINE} bytes were typed");
                line.push(letter);
            }
        }
    }
    let text = std::str::from_utf8(&line).ok().context("what was typed is no text")?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> anyhow::Result<Zeroizing<String>> {
        read_secret(bytes.iter().map(|byte| Ok(*byte)))
    }

    #[test]
    fn what_is_typed_is_read_as_a_line() {
        assert_eq!(typed(b"secret\nrest").unwrap().as_str(), "secret");
        assert_eq!(typed("sä\u{7f}ecretx\u{8}\r".as_bytes()).unwrap().as_str(), "secret");
        assert_eq!(typed(b"\x7f\x7fok").unwrap().as_str(), "ok");
        assert!(typed(b"sec\x03ret\n").is_err() && typed(b"\x04").is_err());
        assert!(typed(&[b'a'; LONGEST_LINE + 1]).is_err());
        assert!(typed(&[0xff, b'\n']).is_err());
    }

    #[test]
    fn without_a_terminal_nobody_is_asked() {
        if !is_there() {
            assert!(ask("?").is_err() && ask_secret("?").is_err());
        }
    }
}
