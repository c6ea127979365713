//! The built web pages, as `web/dist` had them when this was compiled, and the headers they go
//! out with.
//!
//! Knows nothing of HTTP servers: a role asks for an asset by its path and sends what it gets.
//! The portal's page is served at `/`, its assets below `/portal/`; the console's at `/console` and
//! below; the viewer's page at each session's address, its assets below `/viewer/`.
#![forbid(unsafe_code)]

mod headers;

pub use headers::{
    Header, console_headers, portal_csp, portal_headers, viewer_csp, viewer_headers,
};

use std::borrow::Cow;
use std::fmt::Write;

use rust_embed::{EmbeddedFile, RustEmbed};

/// The path of a page itself, among its assets.
pub const PAGE: &str = "index.html";

/// One file to send.
#[derive(Debug, Clone)]
pub struct Asset {
    /// The body.
    pub bytes: Cow<'static, [u8]>,
    /// For `Content-Type`.
    pub mime: &'static str,
    /// Whether the name changes with the content, so that it may be kept for ever.
    pub immutable: bool,
    /// For `ETag`, with its quotes.
    pub etag: String,
}

impl Asset {
    /// For `Cache-Control`. A page is asked for each time, and answered with 304 by its tag.
    #[must_use]
    pub fn cache_control(&self) -> &'static str {
        if self.immutable { "public, max-age=31536000, immutable" } else { "no-cache" }
    }
}

/// A file of the portal: [`PAGE`], or a path below `/portal/` such as `assets/index-1a2b.js`.
#[must_use]
pub fn portal(path: &str) -> Option<Asset> {
    Portal::get(path).map(|file| asset(path, file))
}

/// A file of the console: [`PAGE`], or a path below `/console/`.
#[must_use]
pub fn console(path: &str) -> Option<Asset> {
    Console::get(path).map(|file| asset(path, file))
}

/// A file of the viewer: [`PAGE`], or a path below `/viewer/`.
#[must_use]
pub fn viewer(path: &str) -> Option<Asset> {
    Viewer::get(path).map(|file| asset(path, file))
}

#[derive(RustEmbed)]
#[folder = "../../web/dist/portal/"]
struct Portal;

#[derive(RustEmbed)]
#[folder = "../../web/dist/console/"]
struct Console;

#[derive(RustEmbed)]
#[folder = "../../web/dist/viewer/"]
struct Viewer;

fn asset(path: &str, file: EmbeddedFile) -> Asset {
    Asset {
        bytes: file.data,
        mime: mime(path),
        // Vite puts what it names by content into this folder, and nothing else.
        immutable: path.starts_with("assets/"),
        etag: etag(&file.metadata.sha256_hash()),
    }
}

fn mime(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Half of the hash tells files apart well enough.
fn etag(hash: &[u8; 32]) -> String {
    let mut tag = String::from('"');
    for byte in &hash[..16] {
        // Writing to a string cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    type Find = fn(&str) -> Option<Asset>;
    const PAGES: [(&str, Find); 3] = [("portal", portal), ("console", console), ("viewer", viewer)];

    /// The paths in double quotes that begin with `/<name>/`, without that beginning.
    fn references(page: &str, name: &str) -> Vec<String> {
        let prefix = format!("/{name}/");
        let quoted = page.split('"').filter_map(|part| part.strip_prefix(prefix.as_str()));
        quoted.map(str::to_owned).collect()
    }

    #[test]
    fn everything_a_page_asks_for_is_there() {
        for (name, find) in PAGES {
            let page = find(PAGE).unwrap();
            let text = std::str::from_utf8(&page.bytes).unwrap();
            let paths = references(text, name);
            assert!(paths.len() >= 3, "{name}: script, style and icon, but found {paths:?}");
            for path in paths {
                let asset = find(&path).unwrap_or_else(|| panic!("{name} lacks {path}"));
                assert!(asset.immutable && !asset.bytes.is_empty());
                assert_ne!(asset.mime, "application/octet-stream", "{path}");
            }
        }
    }

    #[test]
    fn a_page_is_never_kept_without_asking() {
        for (_, find) in PAGES {
            let page = find(PAGE).unwrap();
            assert_eq!(page.cache_control(), "no-cache");
            assert_eq!(page.mime, "text/html; charset=utf-8");
            assert_eq!((page.etag.len(), &page.etag[..1]), (34, "\""));
        }
    }

    #[test]
    fn pages_carry_nothing_inline() {
        for (name, find) in PAGES {
            let page = find(PAGE).unwrap();
            let text = std::str::from_utf8(&page.bytes).unwrap();
            for inline in ["<script>", "<style", " style=", " onload="] {
                assert!(!text.contains(inline), "{name} has {inline}");
            }
        }
    }

    #[test]
    fn no_path_leads_out_of_the_folder() {
        for (_, find) in PAGES {
            for path in
                ["", "../index.html", "/etc/passwd", "assets/", "assets/../../portal/index.html"]
            {
                assert!(find(path).is_none(), "{path}");
            }
        }
    }

    #[test]
    fn the_licences_of_bundled_libraries_go_along() {
        let text = viewer("licences.txt").unwrap();
        let text = std::str::from_utf8(&text.bytes).unwrap();
        assert!(text.contains("@novnc/novnc") && text.contains("MPL-2.0"));
        assert!(portal("licences.txt").is_some());
        let text = console("licences.txt").unwrap();
        assert!(std::str::from_utf8(&text.bytes).unwrap().contains("uplot"));
    }
}
