//! The file as a tree whose every value knows its line.

use std::collections::BTreeMap;
use std::fmt;

use toml::de::{DeTable, DeValue};

use crate::problems::Sink;

/// A table's content by key.
pub(crate) type Entries = BTreeMap<String, Entry>;

/// A value and where it stands.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The line of the key, or of the value in a list. From 1.
    pub(crate) line: usize,
    pub(crate) value: Value,
}

/// A value as TOML has it.
#[derive(Debug)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Entry>),
    Table(Entries),
    /// Floats, dates and integers beyond 64 bits, as they are written: no key wants one.
    Other(String),
}

/// How a person would recognise it in the file; long ones are cut.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) if text.chars().count() > 60 => {
                let start: String = text.chars().take(60).collect();
                write!(f, "{start:?}…")
            }
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Integer(number) => write!(f, "{number}"),
            Value::Boolean(yes) => write!(f, "{yes}"),
            Value::List(_) => f.write_str("a list"),
            Value::Table(_) => f.write_str("a table"),
            Value::Other(text) => f.write_str(text),
        }
    }
}

/// The text's root table. Syntax errors go to the sink.
pub(crate) fn parse(text: &str, sink: &Sink) -> Entries {
    let lines = Lines::of(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = lines.of_byte(error.span().map_or(text.len(), |span| span.start));
        sink.add(line, String::new(), format!("this is not TOML: {}", error.message()));
    }
    table(root.into_inner(), &lines)
}

fn table(from: DeTable<'_>, lines: &Lines) -> Entries {
    from.into_iter()
        .map(|(key, content)| {
            let line = lines.of_byte(key.span().start);
            let value = value(content.into_inner(), lines);
            (key.into_inner().into_owned(), Entry { line, value })
        })
        .collect()
}

fn value(from: DeValue<'_>, lines: &Lines) -> Value {
    match from {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other(number.to_string()),
        },
        DeValue::Float(number) => Value::Other(number.to_string()),
        DeValue::Boolean(yes) => Value::Boolean(yes),
        DeValue::Datetime(date) => Value::Other(date.to_string()),
        DeValue::Array(list) => Value::List(
            list.into_iter()
                .map(|item| {
                    let line = lines.of_byte(item.span().start);
                    Entry { line, value: value(item.into_inner(), lines) }
                })
                .collect(),
        ),
        DeValue::Table(content) => Value::Table(table(content, lines)),
    }
}

/// Where each line begins, in bytes.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect())
    }

    fn of_byte(&self, byte: usize) -> usize {
        self.0.partition_point(|start| *start <= byte)
    }
}
