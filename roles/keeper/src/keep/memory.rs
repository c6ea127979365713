//! Giving back the memory that only the start needed.
//!
//! There is one keeper for each desktop, and after the start it does nothing but wait. The code
//! that ran once, its own and that of PAM's modules, is by far the most of what it holds.

use std::fs;

/// Gives it back. The kernel reads from the files what is needed again.
pub fn give_back() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, end) in maps.lines().filter_map(code) {
        // SAFETY: the pages are a file's, private, and were never writable: what comes back is
        // what was there.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
    }
    drop(maps);
    // SAFETY: touches free memory only.
    unsafe { libc::malloc_trim(0) };
}

/// From where to where a line of `/proc/PID/maps` (proc(5)) says there is code of a file.
fn code(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let of_file = fields.next()? == "r-xp" && fields.nth(3)?.starts_with('/');
    let address = |text| usize::from_str_radix(text, 16).ok();
    of_file.then_some((address(start)?, address(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_given_back() {
        for (line, expected) in [
            ("1000-3000 r-xp 00000000 fe:00 12 /usr/lib/libc.so.6", Some((0x1000, 0x3000))),
            ("1000-3000 r-xp 00000000 fe:00 12 /usr/bin/a b (deleted)", Some((0x1000, 0x3000))),
            ("1000-3000 r--p 00000000 fe:00 12 /usr/lib/libc.so.6", None),
            ("1000-3000 rwxp 00000000 fe:00 12 /usr/lib/libc.so.6", None),
            ("1000-3000 r-xp 00000000 00:00 0 [vdso]", None),
            ("1000-3000 r-xp 00000000 00:00 0", None),
            ("", None),
        ] {
            assert_eq!(code(line), expected, "{line}");
        }
    }

    #[test]
    fn the_program_goes_on_after_giving_back() {
        give_back();
        assert_eq!("a,b".split(',').count(), 2);
    }
}
