//! One table of the file, while values are taken out of it.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::base_url::BaseUrl;
use crate::field::{Field, Found};
use crate::problems::Sink;
use crate::tree::{Entries, Entry, Value};

/// One table of the file. Every key is asked for once; what is left when the table is dropped is
/// unknown and so a problem.
pub struct Table<'d> {
    place: Place<'d>,
    entries: Entries,
    asked: Vec<String>,
}

/// A key, and where to put problems with it.
pub(crate) struct Place<'d> {
    /// Nobody, inside something that is wrong as a whole.
    sink: Option<&'d Sink>,
    line: usize,
    key: String,
}

impl<'d> Place<'d> {
    pub(crate) fn problem(&self, text: String) {
        if let Some(sink) = self.sink {
            sink.add(self.line, self.key.clone(), text);
        }
    }

    fn note_asked(&self, key: &str) {
        if let Some(sink) = self.sink {
            sink.note_asked(self.below(key, self.line).key);
        }
    }

    fn below(&self, key: &str, line: usize) -> Self {
        let dot = if self.key.is_empty() { "" } else { "." };
        Self { sink: self.sink, line, key: format!("{}{dot}{key}", self.key) }
    }

    fn nth(&self, n: usize, line: usize) -> Self {
        Self { sink: self.sink, line, key: format!("{}[{}]", self.key, n + 1) }
    }
}

impl<'d> Table<'d> {
    pub(crate) fn root(sink: &'d Sink, entries: Entries) -> Self {
        let place = Place { sink: Some(sink), line: 1, key: String::new() };
        Self { place, entries, asked: Vec::new() }
    }

    /// Any text but an empty one.
    pub fn string(&mut self, key: &str) -> Field<'d, String> {
        self.parsed_with(key, "a text in quotes", |text| {
            (!text.is_empty()).then(|| text.to_owned())
        })
    }

    /// An absolute path. A relative one would depend on where the program was started.
    pub fn path(&mut self, key: &str) -> Field<'d, PathBuf> {
        self.parsed_with(key, "an absolute path such as /var/lib/abide", |text| {
            text.starts_with('/').then(|| PathBuf::from(text))
        })
    }

    /// An IP address with a port.
    pub fn socket_addr(&mut self, key: &str) -> Field<'d, SocketAddr> {
        self.parsed(key, "an address such as 0.0.0.0:443")
    }

    /// Where a server is reached.
    pub fn base_url(&mut self, key: &str) -> Field<'d, BaseUrl> {
        self.parsed(key, "a URL such as https://desk.example.org")
    }

    /// A time span, as in `"90s"`, `"12h"` or `"1h 30m"`.
    pub fn duration(&mut self, key: &str) -> Field<'d, Duration> {
        self.parsed_with(key, "a duration such as \"500ms\", \"30s\" or \"12h\"", |text| {
            humantime::parse_duration(text).ok()
        })
    }

    /// Whatever its type can read; `expected` is as in "a profile name of a-z, 0-9, _ and -".
    pub fn parsed<T: FromStr>(&mut self, key: &str, expected: &str) -> Field<'d, T> {
        self.parsed_with(key, expected, |text| text.parse().ok())
    }

    /// A text that `read` understands; `expected` says what that would be.
    pub fn parsed_with<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Field<'d, T> {
        self.take(key, expected, |_, value| match value {
            Value::Text(text) => read(&text).ok_or(Value::Text(text)),
            other => Err(other),
        })
    }

    /// One of a few words, each with what it stands for.
    pub fn choice<T: Clone>(&mut self, key: &str, choices: &[(&str, T)]) -> Field<'d, T> {
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        let expected = match words.as_slice() {
            [] => String::from("nothing"),
            [only] => only.clone(),
            [all @ .., last] => format!("{} or {last}", all.join(", ")),
        };
        self.parsed_with(key, &expected, |text| {
            choices.iter().find(|(word, _)| *word == text).map(|(_, value)| value.clone())
        })
    }

    /// A whole number within a range.
    pub fn integer<T>(&mut self, key: &str, range: RangeInclusive<T>) -> Field<'d, T>
    where
        T: TryFrom<i64> + PartialOrd + std::fmt::Display,
    {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        self.take(key, &expected, |_, value| match value {
            Value::Integer(number) => T::try_from(number)
                .ok()
                .filter(|number| range.contains(number))
                .ok_or(Value::Integer(number)),
            other => Err(other),
        })
    }

    /// Yes or no.
    pub fn boolean(&mut self, key: &str) -> Field<'d, bool> {
        self.take(key, "true or false", |_, value| match value {
            Value::Boolean(yes) => Ok(yes),
            other => Err(other),
        })
    }

    /// A list of texts; an empty list is one too.
    pub fn strings(&mut self, key: &str) -> Field<'d, Vec<String>> {
        self.list(key, "a text in quotes", |text| (!text.is_empty()).then(|| text.to_owned()))
    }

    /// A list of texts that `read` understands; `expected` says what one would be.
    pub fn list<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Field<'d, Vec<T>> {
        self.take(key, &format!("a list, each {expected}"), |place, value| {
            let items = match value {
                Value::List(items) => items,
                other => return Err(other),
            };
            let each = items.into_iter().enumerate().filter_map(|(n, Entry { line, value })| {
                let read = match &value {
                    Value::Text(text) => read(text),
                    _ => None,
                };
                if read.is_none() {
                    place.nth(n, line).problem(format!("should be {expected}, found {value}"));
                }
                read
            });
            Ok(each.collect())
        })
    }

    /// The table under this key; if there is none, an empty one, so that what it needs is asked
    /// for by name.
    pub fn table(&mut self, key: &str) -> Table<'d> {
        self.optional_table(key).unwrap_or_else(|| Table {
            place: self.place.below(key, self.place.line),
            entries: Entries::new(),
            asked: Vec::new(),
        })
    }

    /// The table under this key, if there is one.
    pub fn optional_table(&mut self, key: &str) -> Option<Table<'d>> {
        let Entry { line, value } = self.remove(key)?;
        Some(into_table(self.place.below(key, line), value))
    }

    /// The tables of a list: those under `[[key]]`.
    pub fn tables(&mut self, key: &str) -> Vec<Table<'d>> {
        let field =
            self.take(key, &format!("tables, each under [[{key}]]"), |place, value| match value {
                Value::List(items) => Ok(items
                    .into_iter()
                    .enumerate()
                    .map(|(n, item)| into_table(place.nth(n, item.line), item.value))
                    .collect()),
                other => Err(other),
            });
        field.or(Vec::new())
    }

    /// The tables below this key with their names: those under `[key.NAME]`, by name.
    pub fn named_tables(&mut self, key: &str) -> Vec<(String, Table<'d>)> {
        let field =
            self.take(
                key,
                &format!("tables, each under [{key}.NAME]"),
                |place, value| match value {
                    Value::Table(entries) => Ok(entries
                        .into_iter()
                        .map(|(name, entry)| {
                            let place = place.below(&name, entry.line);
                            (name, into_table(place, entry.value))
                        })
                        .collect()),
                    other => Err(other),
                },
            );
        field.or(Vec::new())
    }

    /// Notes a problem with this table as a whole, such as two keys that exclude each other.
    pub fn problem(&self, text: impl Into<String>) {
        self.place.problem(text.into());
    }

    fn remove(&mut self, key: &str) -> Option<Entry> {
        self.asked.push(key.to_owned());
        self.place.note_asked(key);
        self.entries.remove(key)
    }

    /// Takes out a key and reads its value; `read` gives back a value that is not right.
    fn take<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&Place<'d>, Value) -> Result<T, Value>,
    ) -> Field<'d, T> {
        let entry = self.remove(key);
        let line = entry.as_ref().map_or(self.place.line, |entry| entry.line);
        let place = self.place.below(key, line);
        let found = match entry.map(|entry| read(&place, entry.value)) {
            None => Found::Absent,
            Some(Ok(value)) => Found::Value(value),
            Some(Err(value)) => {
                place.problem(format!("should be {expected}, found {value}"));
                Found::Wrong
            }
        };
        Field { place, found, expected: expected.to_owned() }
    }
}

/// A value as a table; if it is none, that is the one problem with it.
fn into_table(place: Place<'_>, value: Value) -> Table<'_> {
    match value {
        Value::Table(entries) => Table { place, entries, asked: Vec::new() },
        other => {
            place.problem(format!("should be a table, found {other}"));
            let place = Place { sink: None, ..place };
            Table { place, entries: Entries::new(), asked: Vec::new() }
        }
    }
}

/// Whatever was not asked for is unknown.
impl Drop for Table<'_> {
    fn drop(&mut self) {
        for (key, entry) in &self.entries {
            let likeness = |known: &&String| strsim::jaro_winkler(key, known);
            let nearest = self
                .asked
                .iter()
                .filter(|known| likeness(known) > 0.8)
                .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            let hint = match nearest {
                Some(known) => format!("unknown key, did you mean {known:?}?"),
                None => format!("unknown key, should be one of: {}", self.asked.join(", ")),
            };
            self.place.below(key, entry.line).problem(hint);
        }
    }
}
