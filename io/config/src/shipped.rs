//! Configuration files as a package ships them: every key is there, most of them commented out.
//!
//! ```text
//! # What a comment says.            a blank after the mark
//! #http = "0.0.0.0:443"             a key that is not said: no blank
//! ```

use std::collections::BTreeSet;

use crate::problems::Sink;
use crate::{Table, tree};

/// A file as it is shipped, for the tests that hold it to what is read.
#[derive(Debug, Clone, Copy)]
pub struct Shipped<'t>(pub &'t str);

impl Shipped<'_> {
    /// The keys that `shape` asks for in the file or in one of the `other` texts and that the file
    /// does not show, and those that it shows and nobody asks for.
    pub fn gaps(self, other: &[&str], shape: impl Fn(&mut Table<'_>)) -> Vec<String> {
        let texts = other.iter().copied().chain([self.0]);
        let asked: BTreeSet<String> = texts.flat_map(|text| asked(text, &shape)).collect();
        let shown: BTreeSet<String> = self.lines().filter_map(|(_, key)| key).collect();
        let lacks = asked.difference(&shown).map(|key| format!("{key} is not in the file"));
        let unknown = shown.difference(&asked).map(|key| format!("nobody reads {key}"));
        lacks.chain(unknown).collect()
    }

    /// The file with the keys said that it shows commented out and for which `wanted` holds.
    pub fn said(self, wanted: impl Fn(&str) -> bool) -> String {
        let line = |(line, key): (&str, Option<String>)| match key {
            Some(key) if wanted(&key) => format!("{}\n", line.trim_start_matches('#')),
            _ => format!("{line}\n"),
        };
        self.lines().map(line).collect()
    }
}

impl<'t> Shipped<'t> {
    /// Each line, with the key or table that it shows.
    fn lines(self) -> impl Iterator<Item = (&'t str, Option<String>)> {
        let mut table = String::new();
        self.0.lines().map(move |line| {
            let text = line.strip_prefix('#').unwrap_or(line);
            let named = text.trim_start_matches('[').trim_end_matches(']');
            let key = if text.starts_with('[') {
                table = format!("{named}.");
                Some(named.to_owned())
            } else if text.starts_with(|first: char| first.is_ascii_lowercase()) {
                text.split_once(" = ").map(|(key, _)| format!("{table}{key}"))
            } else {
                None
            };
            (line, key)
        })
    }
}

/// The keys that `shape` asks for in this text; those of a list's tables without their numbers.
fn asked(text: &str, shape: impl Fn(&mut Table<'_>)) -> BTreeSet<String> {
    let sink = Sink::default();
    let entries = tree::parse(text, &sink);
    let mut root = Table::root(&sink, entries);
    shape(&mut root);
    drop(root);
    let plain = |key: String| {
        let parts = key.split('.').map(|part| part.split('[').next().unwrap_or(part));
        parts.collect::<Vec<_>>().join(".")
    };
    sink.into_asked().into_iter().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(root: &mut Table<'_>) {
        let _ = root.string("name").optional();
        let _ = root.table("listen").socket_addr("http").optional();
        for mut each in root.tables("profile") {
            let _ = each.string("title").optional();
        }
    }

    #[test]
    fn keys_that_are_missing_or_unknown_are_found() {
        let whole =
            "# A name.\n#name = 'x'\n[listen]\n#http = '0.0.0.0:1'\n[[profile]]\ntitle = 'x'\n";
        assert_eq!(Shipped(whole).gaps(&[], shape), [""; 0]);
        let gaps = Shipped("#nmae = 'x'\n[listen]\n").gaps(&["[[profile]]"], shape);
        assert_eq!(
            gaps,
            [
                "listen.http is not in the file",
                "name is not in the file",
                "profile is not in the file",
                "profile.title is not in the file",
                "nobody reads nmae",
            ]
        );
    }

    #[test]
    fn what_is_commented_out_can_be_said() {
        let text = "# Prose = no.\n#name = 'x'\n#[listen]\n#http = 'y'\n";
        let said = Shipped(text).said(|key| key.starts_with("listen"));
        assert_eq!(said, "# Prose = no.\n#name = 'x'\n[listen]\nhttp = 'y'\n");
    }
}
