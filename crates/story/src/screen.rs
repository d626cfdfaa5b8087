//! Text for a terminal, as wide as it is and coloured on request; whole where nobody says how wide.

use std::io::{self, IsTerminal as _};

use serde::{Deserialize, Serialize};

use crate::wording::{fit_middle, wrapped};

/// Letters that columns keep which give way: those that are cut and those whose words go on below, first, and when even that
/// is too wide.
const CUT: usize = 14;
const WRAPPED: usize = 24;
const NARROWEST: usize = 12;
/// No terminal is narrower.
const LEAST: usize = 40;
/// Blanks before each row, and between its cells.
const MARGIN: usize = 2;
/// Letters of a field's name.
const NAME: usize = 11;

/// How text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Style {
    /// Whether ANSI colours are written.
    pub colour: bool,
    /// Columns of the terminal; text for programs and files has none, and nothing of it is left out.
    pub width: Option<usize>,
}

impl Style {
    /// Of standard output. `COLUMNS` says how wide it is where the terminal does not, or somebody wants it otherwise.
    #[must_use]
    pub fn of_output() -> Self {
        let terminal = io::stdout().is_terminal();
        let wished = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let asked = || rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col));
        let width = wished.or_else(|| if terminal { asked() } else { None });
        Self {
            colour: terminal && std::env::var_os("NO_COLOR").is_none(),
            width: width.filter(|columns| *columns > 0).map(|columns: usize| columns.max(LEAST)),
        }
    }

    /// Columns, or as many as `usual`.
    #[must_use]
    pub fn columns(self, usual: usize) -> usize {
        self.width.unwrap_or(usual)
    }
}

/// Sentences of an answer in a terminal: whole words go on below. What stands in columns, or is painted, fits already.
#[must_use]
pub fn folded(text: &str, style: Style) -> String {
    let Some(width) = style.width else { return text.to_owned() };
    let mut screen = Screen::new(Style { colour: false, ..style });
    for line in text.lines() {
        let painted = line.contains('\u{1b}');
        if painted || line.chars().count() <= width || line.trim_start().contains("  ") {
            screen.text.push_str(line);
            screen.blank();
        } else {
            screen.line(line);
        }
    }
    screen.finish()
}

/// A colour or weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// As it is.
    Plain,
    /// Heavy.
    Bold,
    /// Of lesser weight.
    Dim,
    /// Good.
    Good,
    /// Bad.
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

/// A screen being written, line by line; what is wider goes on below.
pub struct Screen {
    style: Style,
    text: String,
}

impl Screen {
    /// An empty one.
    #[must_use]
    pub const fn new(style: Style) -> Self {
        Self { style, text: String::new() }
    }

    /// Its text.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }

    /// How it looks.
    pub(crate) const fn style(&self) -> Style {
        self.style
    }

    /// An empty line.
    pub fn blank(&mut self) {
        self.text.push('\n');
    }

    /// A line.
    pub fn line(&mut self, text: &str) {
        self.painted(Paint::Plain, text);
    }

    /// A line that looks so; goes on under its first word.
    pub fn painted(&mut self, paint: Paint, text: &str) {
        let text = text.trim_end();
        let indent = text.chars().take_while(|letter| *letter == ' ').count();
        let room = self.style.width.map_or(usize::MAX, |width| width.saturating_sub(indent));
        for part in wrapped(text.trim_start(), room) {
            self.push(paint, &format!("{}{part}", " ".repeat(indent)));
        }
    }

    /// One line of the terminal, as it is.
    pub(crate) fn push(&mut self, paint: Paint, line: &str) {
        let line = line.trim_end();
        if self.style.colour && paint != Paint::Plain {
            self.text.push_str(paint.code());
            self.text.push_str(line);
            self.text.push_str("\u{1b}[0m");
        } else {
            self.text.push_str(line);
        }
        self.text.push('\n');
    }

    /// A heading with a word at the right end, below it where there is no room.
    pub fn heading(&mut self, text: &str, right: &str) {
        let letters = right.chars().count();
        let room = self.style.width.map(|width| width.saturating_sub(letters + MARGIN));
        match room {
            Some(room) if text.chars().count() > room => {
                self.painted(Paint::Bold, text);
                self.painted(Paint::Bold, &format!("  {right}"));
            }
            Some(room) => self.push(Paint::Bold, &format!("{}  {right}", pad(text, room))),
            None => self.push(Paint::Bold, &format!("{text}  {right}")),
        }
    }

    /// A name and what it is; a long value goes on below itself.
    pub fn field(&mut self, name: &str, value: &str) {
        let before = MARGIN + NAME + 1;
        let room = self.style.width.map_or(usize::MAX, |width| width.saturating_sub(before));
        for (number, part) in wrapped(value, room).iter().enumerate() {
            let name = if number == 0 { name } else { "" };
            self.push(Paint::Plain, &format!("  {} {part}", pad(name, NAME)));
        }
    }

    /// A table. Marks before a column's name say how it behaves, see `Column`; where the screen is too narrow for it
    /// columns give way as their marks say, and no other is ever cut.
    pub fn table(&mut self, columns: &[&str], rows: &[Row]) {
        let mut layout: Vec<Column> = columns
            .iter()
            .enumerate()
            .map(|(index, name)| Column::of(name, rows.iter().filter_map(|row| row.cells.get(index))))
            .collect();
        if let Some(width) = self.style.width {
            fit_in(&mut layout, width);
        }
        let names: Vec<String> = layout.iter().map(|column| column.name.clone()).collect();
        self.row(Paint::Dim, &names, &layout);
        for row in rows {
            self.row(row.paint, &row.cells, &layout);
            if let Some(below) = &row.below {
                self.painted(Paint::Dim, &format!("    {below}"));
            }
        }
        let gone: Vec<&str> =
            layout.iter().filter(|column| !column.shown).map(|one| one.name.as_str()).collect();
        if !gone.is_empty() {
            self.painted(Paint::Dim, &format!("  in a wider terminal also: {}", gone.join(", ")));
        }
    }

    fn row(&mut self, paint: Paint, cells: &[String], layout: &[Column]) {
        let shown = cells.iter().zip(layout).filter(|(_, column)| column.shown);
        let parts: Vec<(Vec<String>, &Column)> =
            shown.map(|(cell, column)| (column.lines(cell), column)).collect();
        let height = parts.iter().map(|(lines, _)| lines.len()).max().unwrap_or(0);
        for number in 0..height {
            let line = parts.iter().map(|(lines, column)| {
                let cell = lines.get(number).map_or("", String::as_str);
                column.aligned(cell)
            });
            self.push(paint, &format!("  {}", line.collect::<Vec<_>>().join("  ")));
        }
    }
}

/// A column, as the marks before its name say: `>` aligns it to the right, `~` lets it be cut in its middle, `*` lets its
/// words go on below, `?` lets it be left out, the last such first.
struct Column {
    name: String,
    width: usize,
    right: bool,
    cut: bool,
    wraps: bool,
    spare: bool,
    shown: bool,
    /// Letters that it gave for others.
    given: usize,
}

impl Column {
    fn of<'a>(marked: &str, cells: impl Iterator<Item = &'a String>) -> Self {
        let name = marked.trim_start_matches(['>', '~', '*', '?']);
        let marks = marked.strip_suffix(name).unwrap_or_default();
        let letters = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        Self {
            name: name.to_owned(),
            width: letters.max(name.chars().count()),
            right: marks.contains('>'),
            cut: marks.contains('~'),
            wraps: marks.contains('*'),
            spare: marks.contains('?'),
            shown: true,
            given: 0,
        }
    }

    fn lines(&self, cell: &str) -> Vec<String> {
        if self.wraps { wrapped(cell, self.width) } else { vec![fit_middle(cell, self.width)] }
    }

    fn aligned(&self, cell: &str) -> String {
        let missing = self.width.saturating_sub(cell.chars().count());
        if self.right { format!("{}{cell}", " ".repeat(missing)) } else { pad(cell, self.width) }
    }
}

/// Makes columns narrower until all fit, as far as they may be.
fn fit_in(layout: &mut [Column], width: usize) {
    give_way(layout, width, |column| column.cut, CUT);
    give_way(layout, width, |column| column.wraps, WRAPPED);
    while excess(layout, width) > 0
        && let Some(spare) = layout.iter_mut().rev().find(|column| column.spare && column.shown)
    {
        spare.shown = false;
    }
    // What is left out may be more than was needed; the others have it.
    let room = width.saturating_sub(used(layout));
    if let Some(column) = layout.iter_mut().find(|column| column.given > 0) {
        let back = column.given.min(room);
        column.width += back;
        column.given -= back;
    }
    give_way(layout, width, |column| column.cut, NARROWEST);
    give_way(layout, width, |column| column.wraps, NARROWEST);
}

fn used(layout: &[Column]) -> usize {
    layout.iter().filter(|column| column.shown).map(|column| column.width + MARGIN).sum()
}

fn excess(layout: &[Column], width: usize) -> usize {
    used(layout).saturating_sub(width)
}

fn give_way(layout: &mut [Column], width: usize, may: impl Fn(&Column) -> bool, least: usize) {
    while excess(layout, width) > 0
        && let Some(column) =
            layout.iter_mut().filter(|column| may(column) && column.width > least).max_by_key(|one| one.width)
    {
        column.width -= 1;
        column.given += 1;
    }
}

/// A row of a table, with a line below it.
pub struct Row {
    /// One for each column.
    pub cells: Vec<String>,
    /// How it looks.
    pub paint: Paint,
    /// What stands below it.
    pub below: Option<String>,
}

impl Row {
    /// Of cells alone.
    #[must_use]
    pub const fn new(cells: Vec<String>) -> Self {
        Self { cells, paint: Paint::Plain, below: None }
    }
}

/// A table alone.
#[must_use]
pub fn table(style: Style, columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut screen = Screen::new(style);
    screen.table(columns, &rows.into_iter().map(Row::new).collect::<Vec<_>>());
    screen.finish()
}

/// Filled up to `width` letters; never cut.
pub(crate) fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.chars().count());
    format!("{text}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [&str; 5] = ["nr", "~market", ">shares", "?>fees", "*what"];

    fn shown(width: Option<usize>) -> String {
        let market = "Yes · Will it rain in Lisbon on the first of March, or later?";
        let what = "sale below minimum: 4.16 shares are below the minimum of 5";
        let row = ["1", market, "4.16", "0.02", what].map(str::to_owned).to_vec();
        table(Style { colour: false, width }, &COLUMNS, [row])
    }

    #[test]
    fn nothing_is_cut_without_a_terminal() {
        let market = "Yes · Will it rain in Lisbon on the first of March, or later?";
        let text = shown(None);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            text.contains(market) && text.ends_with("4.16 shares are below the minimum of 5\n"),
            "{text}"
        );
    }

    #[test]
    fn a_table_fits_its_terminal_and_keeps_every_reason() {
        for width in [40, 60, 80, 100, 120, 200] {
            let text = shown(Some(width));
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(widest <= width, "{widest} of {width}:\n{text}");
            for word in ["sale", "minimum:", "4.16", "shares", "below", "5"] {
                assert!(text.contains(word), "{word}:\n{text}");
            }
        }
        insta::assert_snapshot!(shown(Some(80)), @r"
        nr  market          shares  fees  what
        1   Yes · W…later?    4.16  0.02  sale below minimum: 4.16 shares are below
                                          the minimum of 5
        ");
        insta::assert_snapshot!(shown(Some(50)), @r"
        nr  market        shares  what
        1   Yes · …ater?    4.16  sale below minimum:
                                  4.16 shares are below
                                  the minimum of 5
        in a wider terminal also: fees
        ");
    }

    #[test]
    fn sentences_of_an_answer_fit_a_terminal_and_are_whole_elsewhere() {
        let text = "  a sentence that is far longer than the forty columns of it\n  nr  a row of a table, however long it may be\nshort";
        let narrow = folded(text, Style { colour: true, width: Some(40) });
        let lines = [
            "  a sentence that is far longer than the",
            "  forty columns of it",
            "  nr  a row of a table, however long it may be",
            "short",
        ];
        assert_eq!(narrow.lines().collect::<Vec<_>>(), lines);
        assert_eq!(folded(text, Style::default()), text);
    }

    #[test]
    fn a_long_line_goes_on_under_its_first_word() {
        let mut screen = Screen::new(Style { colour: true, width: Some(40) });
        screen.painted(Paint::Bad, "  hold 1 stops buys until lifted: the wallet lacks an approval");
        screen.field("sources", "chain: 100.00 shares in 1 log; history: 100.00 shares");
        screen.heading("Trade 0xb1b1b1b1b1b1b1b1b1b1b1b1b1b1", "open");
        let lines = [
            "^[31m  hold 1 stops buys until lifted: the^[0m",
            "^[31m  wallet lacks an approval^[0m",
            "  sources     chain: 100.00 shares in 1",
            "              log; history: 100.00",
            "              shares",
            "^[1mTrade 0xb1b1b1b1b1b1b1b1b1b1b1b1b1b1^[0m",
            "^[1m  open^[0m",
        ];
        assert_eq!(screen.finish().replace('\u{1b}', "^").lines().collect::<Vec<_>>(), lines);
    }
}
