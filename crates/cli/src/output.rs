//! What commands print: tables for people, JSON or YAML for programs.
//!
//! Data goes to the standard output, everything else to the standard error. In tables, text that
//! came from agents or servers is cleaned, so that it cannot speak to the terminal.

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use preloop_types::text::{one_line, printable, shortened};
use serde::Serialize;

use crate::failure::{Exit, Failure, Result};

/// Widest cell of a table, in bytes.
const CELL_MAX: usize = 200;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Yaml,
}

/// Prints data and notes the way the person asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    pub(crate) format: Format,
    pub(crate) quiet: bool,
}

/// One column of a table: its title and its cell for an item.
pub(crate) type Column<'a, T> = (&'a str, fn(&T) -> String);

impl Printer {
    /// Prints a list: a table with these columns, or the items as they came.
    pub(crate) fn list<T: Serialize>(self, items: &[T], columns: &[Column<'_, T>], empty: &str) -> Result {
        if self.format != Format::Table {
            return self.data(&items);
        }
        if items.is_empty() {
            self.note(empty);
            return Ok(());
        }
        let mut table = table();
        table.set_header(columns.iter().map(|(title, _)| title.to_uppercase()));
        for item in items {
            table.add_row(columns.iter().map(|(_, cell)| shortened(&one_line(&cell(item)), CELL_MAX).into_owned()));
        }
        print(&table_text(&table))
    }

    /// Prints one thing: a line per fact, or the item as it came.
    pub(crate) fn one<T: Serialize>(self, item: &T, facts: &[(&str, String)]) -> Result {
        if self.format != Format::Table {
            return self.data(item);
        }
        let mut table = table();
        for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
            table.add_row([format!("{name}:"), printable(value).into_owned()]);
        }
        print(&table_text(&table))
    }

    /// Says what was done: the sentence, or the item as it came.
    pub(crate) fn done<T: Serialize>(self, item: &T, sentence: &str) -> Result {
        match self.format {
            Format::Table => self.say(sentence),
            _ => self.data(item),
        }
    }

    /// Prints a sentence for people among other output, unless asked to be quiet.
    pub(crate) fn say(self, sentence: &str) -> Result {
        if self.quiet { Ok(()) } else { self.text(sentence) }
    }

    /// Prints text for people, cleaned, as it is.
    #[expect(clippy::unused_self, reason = "printing goes through the printer")]
    pub(crate) fn text(self, text: &str) -> Result {
        print(&format!("{}\n", printable(text).trim_end_matches('\n')))
    }

    /// Prints a document: as it is for a file or a program, cleaned for a terminal.
    pub(crate) fn document(self, text: &str) -> Result {
        if std::io::stdout().is_terminal() { self.text(text) } else { print(text) }
    }

    /// Prints data in the format for programs.
    pub(crate) fn data<T: Serialize>(self, item: &T) -> Result {
        let text = match self.format {
            Format::Yaml => serde_saphyr::to_string(item).map_err(|error| unprintable(&error))?,
            _ => serde_json::to_string_pretty(item).map_err(|error| unprintable(&error))? + "\n",
        };
        print(&text)
    }

    /// Prints one item of an endless list, in one piece and at once. YAML documents are parted by `---`.
    pub(crate) fn item<T: Serialize>(self, item: &T, line: &str) -> Result {
        match self.format {
            Format::Table => print(&format!("{}\n", printable(line))),
            Format::Json => print(&(serde_json::to_string(item).map_err(|error| unprintable(&error))? + "\n")),
            Format::Yaml => {
                print(&format!("---\n{}", serde_saphyr::to_string(item).map_err(|error| unprintable(&error))?))
            }
        }
    }

    /// Says something beside the data.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            eprintln!("{}", printable(text));
        }
    }
}

/// Says something that must not be missed, whatever the format.
pub(crate) fn warn(text: &str) {
    eprintln!("warning: {}", printable(text));
}

fn unprintable(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failure, format!("the answer cannot be printed: {error}"))
}

/// Writes to the standard output. A reader that has gone (`| head`) is not an error.
fn print(text: &str) -> Result {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => Ok(written?),
    }
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table
}

fn table_text(table: &Table) -> String {
    // The preset pads every line on both sides.
    table.lines().fold(String::new(), |text, line| text + line.strip_prefix(' ').unwrap_or(&line).trim_end() + "\n")
}
