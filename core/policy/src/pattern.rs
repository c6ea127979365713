//! Names with `*`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Names that may hold `*` for any characters, none included; letters' case does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Arc<str>);

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidPattern;

impl Pattern {
    /// Whether a name is one of these.
    pub fn fits(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let is_good = |c: char| !c.is_whitespace() && !c.is_control();
        if !text.is_empty() && text.len() <= 253 && text.chars().all(is_good) {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(InvalidPattern)
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a name, or one with * in it")
    }
}

impl std::error::Error for InvalidPattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, fitting, others) in [
            ("desk1", &["desk1", "DESK1"][..], &["desk12", "desk", "xdesk1"][..]),
            ("desk*", &["desk", "desk1", "desk-a-b"], &["des", "adesk"]),
            (
                "*.gpu.example.org",
                &["a.gpu.example.org"],
                &["gpu.example.org", "a.gpu.example.com"],
            ),
            ("a*b*c", &["abc", "axbxc", "abbcc"], &["ab", "acb", "abcd"]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("*", &["", "anything"], &[]),
        ] {
            let pattern: Pattern = pattern.parse().unwrap();
            for name in fitting {
                assert!(pattern.fits(name), "{pattern} should fit {name}");
            }
            for name in others {
                assert!(!pattern.fits(name), "{pattern} should not fit {name}");
            }
        }
    }

    #[test]
    fn names_with_spaces_are_none() {
        for text in ["", "a b", "a\n"] {
            assert_eq!(text.parse::<Pattern>(), Err(InvalidPattern));
        }
    }
}
