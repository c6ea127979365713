//! What is wrong with a file.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line, from 1; of a missing key, where its table begins.
    pub line: usize,
    /// The key with its tables, as in `listen.http` or `profile[2].name`; empty for bad syntax.
    pub key: String,
    /// What is wrong and what would be right.
    pub text: String,
}

/// Everything that is wrong with one file, in the order of its lines. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    file: String,
    problems: Vec<Problem>,
}

impl Problems {
    /// The file's name, as it was given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The problems, in the order of their lines.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Problem { line, key, text }) in self.problems.iter().enumerate() {
            let end = if n == 0 { "" } else { "\n" };
            let colon = if key.is_empty() { "" } else { ": " };
            write!(f, "{end}{}:{line}: {key}{colon}{text}", self.file)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Where tables put their problems while they are being read, and which keys were asked for.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    problems: RefCell<Vec<Problem>>,
    asked: RefCell<BTreeSet<String>>,
}

impl Sink {
    pub(crate) fn add(&self, line: usize, key: String, text: String) {
        self.problems.borrow_mut().push(Problem { line, key, text });
    }

    pub(crate) fn note_asked(&self, key: String) {
        self.asked.borrow_mut().insert(key);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    pub(crate) fn into_asked(self) -> BTreeSet<String> {
        self.asked.into_inner()
    }

    pub(crate) fn into_problems(self, file: &str) -> Problems {
        let mut problems = self.problems.into_inner();
        problems.sort();
        problems.dedup();
        Problems { file: file.to_owned(), problems }
    }
}
