//! What is wrong with a configuration, all of it at once, each mistake with its place and what to do.

use std::fmt;

use crate::demo::paint::Paint;

/// Mistakes that are told; a file with more of them is not a configuration.
const TOLD: usize = 50;

/// Where a mistake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The file as a whole.
    File,
    /// In the file.
    At {
        /// From 1.
        line: usize,
        /// In letters, from 1.
        column: usize,
    },
    /// A variable of the environment.
    Environment,
    /// A flag.
    CommandLine,
}

impl Place {
    /// The place of the byte `offset` of `text`; what lies behind its end is on its last line.
    #[must_use]
    pub fn in_text(text: &str, offset: usize) -> Self {
        let end = text.strip_suffix('\n').unwrap_or(text);
        let before = end.get(..end.floor_char_boundary(offset)).unwrap_or(end);
        let line_begins = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_begins..).unwrap_or_default().chars().count() + 1;
        Self::At { line: before.matches('\n').count() + 1, column }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// The key with its value, or the variable; empty for the file as a whole.
    pub subject: String,
    /// What is wrong with it, and what to do.
    pub text: String,
}

/// At least one mistake.
#[derive(Debug)]
pub struct Mistakes {
    file: String,
    list: Vec<Mistake>,
}

impl std::error::Error for Mistakes {}

impl Mistakes {
    /// Mistakes, at least one, in the order of the file, then those of the environment.
    pub(super) fn of(file: &str, mut list: Vec<Mistake>) -> Self {
        list.sort_by_key(|mistake| mistake.place);
        Self { file: file.to_owned(), list }
    }

    /// All of them.
    #[must_use]
    pub fn list(&self) -> &[Mistake] {
        &self.list
    }

    /// As programs read them.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let one = |mistake: &Mistake| serde_json::json!({ "place": self.place(mistake), "subject": mistake.subject, "text": mistake.text });
        let mistakes: Vec<_> = self.list.iter().take(TOLD).map(one).collect();
        serde_json::json!({ "error": self.headline(), "mistakes": mistakes })
    }

    fn headline(&self) -> String {
        let count = match self.list.len() {
            1 => "a mistake".to_owned(),
            number => format!("{number} mistakes"),
        };
        format!("{count} in the configuration; nothing was started")
    }

    /// As people read them.
    #[must_use]
    pub fn text(&self, paint: Paint) -> String {
        let mut out = paint.bad(&format!("slipstream: {}", self.headline()));
        out.push('\n');
        for mistake in self.list.iter().take(TOLD) {
            out.push_str(&format!("\n  {}", paint.strong(&self.place(mistake))));
            if !mistake.subject.is_empty() {
                out.push_str(&format!("  {}", mistake.subject));
            }
            out.push_str(&format!("\n      {}\n", mistake.text));
        }
        if let Some(more) = self.list.len().checked_sub(TOLD).filter(|more| *more > 0) {
            out.push_str(&format!("\n  and {more} more\n"));
        }
        out.push_str(&format!("\n{}", paint.faint("`slipstream config reference` describes every key.")));
        out
    }

    /// Where one of them is, with the name of the file.
    #[must_use]
    pub fn place(&self, mistake: &Mistake) -> String {
        match mistake.place {
            Place::File => self.file.clone(),
            Place::At { line, column } => format!("{}:{line}:{column}", self.file),
            Place::Environment => "environment".to_owned(),
            Place::CommandLine => "command line".to_owned(),
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(Paint::NONE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_line_of_the_text() {
        let at = |text, offset| match Place::in_text(text, offset) {
            Place::At { line, column } => (line, column),
            other => panic!("{other:?}"),
        };
        assert_eq!(at("", 0), (1, 1));
        assert_eq!(at("a = 1\nb", 4), (1, 5));
        assert_eq!(at("a = 1\nb", 6), (2, 1));
        assert_eq!(at("ä = é", 6), (1, 5));
        assert_eq!(at("a\n", 2), (1, 2));
        assert_eq!(at("a\n\n", 99), (2, 1));
    }
}
