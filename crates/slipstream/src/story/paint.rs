//! Text for a terminal of 100 columns, coloured on request.

use crate::wording::{fit, fit_middle};

/// Columns of a screen.
pub(super) const WIDTH: usize = 100;

/// Letters that a column which is cut keeps.
const NARROWEST: usize = 12;

/// How text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Whether ANSI colours are written.
    pub colour: bool,
}

/// A colour or weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\u{1b}[1m",
            Self::Dim => "\u{1b}[2m",
            Self::Good => "\u{1b}[32m",
            Self::Bad => "\u{1b}[31m",
        }
    }
}

/// A screen being written, line by line; every line is cut to [`WIDTH`].
pub(super) struct Screen {
    style: Style,
    text: String,
}

impl Screen {
    pub(super) const fn new(style: Style) -> Self {
        Self { style, text: String::new() }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    pub(super) fn line(&mut self, text: &str) {
        self.painted(Paint::Plain, text);
    }

    pub(super) fn painted(&mut self, paint: Paint, text: &str) {
        let text = fit(text.trim_end(), WIDTH);
        if self.style.colour && paint != Paint::Plain {
            self.text.push_str(paint.code());
            self.text.push_str(&text);
            self.text.push_str("\u{1b}[0m");
        } else {
            self.text.push_str(&text);
        }
        self.text.push('\n');
    }

    /// A heading with a word at the right end.
    pub(super) fn heading(&mut self, text: &str, right: &str) {
        let room = WIDTH.saturating_sub(right.chars().count()).saturating_sub(2);
        let text = fit(text, room);
        self.painted(Paint::Bold, &format!("{}  {right}", pad(&text, room)));
    }

    pub(super) fn field(&mut self, name: &str, value: &str) {
        self.line(&format!("  {} {value}", pad(name, 11)));
    }

    /// A table; columns whose name begins with `>` are aligned to the right. The one whose name begins with
    /// `~` is cut in its middle when the screen is too narrow; after that lines are cut at their end.
    pub(super) fn table(&mut self, columns: &[&str], rows: &[Row]) {
        let names: Vec<String> =
            columns.iter().map(|name| name.trim_start_matches(['>', '~']).to_owned()).collect();
        let width_of = |index: usize| {
            let cells = rows.iter().filter_map(|row| row.cells.get(index));
            cells.chain(names.get(index)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let mut layout: Vec<Column> = columns
            .iter()
            .enumerate()
            .map(|(index, name)| Column { width: width_of(index), right: name.starts_with('>') })
            .collect();
        let whole: usize = layout.iter().map(|column| column.width + 2).sum();
        let flexible = columns.iter().position(|name| name.starts_with('~'));
        if let Some(column) = flexible.and_then(|index| layout.get_mut(index)) {
            let excess = whole.saturating_sub(WIDTH);
            column.width = column.width.saturating_sub(excess).max(NARROWEST.min(column.width));
        }
        self.painted(Paint::Dim, &join(&names, &layout));
        for row in rows {
            self.painted(row.paint, &join(&row.cells, &layout));
            if let Some(below) = &row.below {
                self.painted(Paint::Dim, &format!("    {below}"));
            }
        }
    }
}

struct Column {
    width: usize,
    right: bool,
}

/// A row of a table, with a line below it.
pub(super) struct Row {
    pub(super) cells: Vec<String>,
    pub(super) paint: Paint,
    pub(super) below: Option<String>,
}

impl Row {
    pub(super) const fn new(cells: Vec<String>) -> Self {
        Self { cells, paint: Paint::Plain, below: None }
    }
}

fn join(cells: &[String], layout: &[Column]) -> String {
    let padded = cells.iter().zip(layout).map(|(cell, column)| {
        let cell = fit_middle(cell, column.width);
        if column.right {
            let missing = column.width.saturating_sub(cell.chars().count());
            format!("{}{cell}", " ".repeat(missing))
        } else {
            pad(&cell, column.width)
        }
    });
    format!("  {}", padded.collect::<Vec<_>>().join("  "))
}

/// Filled up to `width` letters; never cut.
pub(super) fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.chars().count());
    format!("{text}{}", " ".repeat(missing))
}
