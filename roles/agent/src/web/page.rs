//! The viewer's page and its files, and the plain pages that say why not.

use abide_pages::{Asset, PAGE, viewer_headers};
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::answer::Failure;
use crate::cluster::Cluster;
use crate::owner::Denied;
use crate::settings::Settings;

pub(super) const FOREIGN: &str = "This desktop can only be opened from the portal. \
    Log in there, and open it from the list.";
pub(super) const UNKNOWN: &str = "There is no such desktop on this server.";

/// Why a person does not get in, and what to do.
pub(super) fn words(denied: &Denied) -> &'static str {
    match denied {
        Denied::Ticket | Denied::Replayed | Denied::WrongUser | Denied::Pass => {
            "This way in has expired, or was used already: it is good for half a minute, and once. \
             Go back to the portal, and open your desktop again."
        }
        Denied::Unknown => UNKNOWN,
        Denied::Ended(_) => "This desktop has ended. The portal says why, and can start another.",
        Denied::NotNow => "This desktop is not ready. Go back to the portal, and try again.",
        Denied::TooMany => "This desktop has as many viewers as it can have.",
        Denied::DiskFull => {
            "This server's disk is full, so it cannot let anybody new in. Tell an administrator."
        }
    }
}

/// Makes pages.
pub(super) struct Pages<'a> {
    pub(super) settings: &'a Settings,
    pub(super) cluster: &'a Cluster,
}

impl Pages<'_> {
    /// The viewer's page.
    pub(super) fn viewer(&self, request: &HeaderMap) -> Response {
        let Some(page) = abide_pages::viewer(PAGE) else {
            return Failure::of(abide_api::ProblemKind::NotFound).into_response();
        };
        self.with_policy(send(page, request))
    }

    /// A page that says why not.
    pub(super) fn refusal(&self, status: StatusCode, words: &str) -> Response {
        let style =
            abide_pages::viewer(PAGE).and_then(|page| stylesheet(&page)).unwrap_or_default();
        let view = self.cluster.view();
        let back = view
            .urls
            .first()
            .map(|url| format!("<p><a href=\"{}\">To the portal</a></p>", escape(url)));
        let html = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>Abide</title>\
             {style}<main><h1>Your desktop could not be opened</h1><p>{}</p>{}</main></html>",
            escape(words),
            back.unwrap_or_default(),
        );
        let kind = [(CONTENT_TYPE, "text/html; charset=utf-8")];
        self.with_policy((status, kind, html).into_response())
    }

    fn with_policy(&self, mut response: Response) -> Response {
        let own = self.settings.public_url.as_str();
        for (name, value) in viewer_headers(own, &self.cluster.view().urls) {
            // A URL that cannot stand in a header is left out of the policy by `abide-pages`.
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// A file of the viewer's page.
pub(super) fn asset(path: &str, request: &HeaderMap) -> Response {
    match abide_pages::viewer(path) {
        // The page itself has its place, and its headers, elsewhere.
        Some(asset) if path != PAGE => send(asset, request),
        _ => Failure::of(abide_api::ProblemKind::NotFound).into_response(),
    }
}

fn send(asset: Asset, request: &HeaderMap) -> Response {
    let known = request.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let headers = [(ETAG, asset.etag.clone()), (CACHE_CONTROL, asset.cache_control().to_owned())];
    if known.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == asset.etag)) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let body = match asset.bytes {
        std::borrow::Cow::Borrowed(bytes) => Body::from(bytes),
        std::borrow::Cow::Owned(bytes) => Body::from(bytes),
    };
    (headers, [(CONTENT_TYPE, asset.mime)], body).into_response()
}

/// The element by which the viewer's page names its style sheet.
fn stylesheet(page: &Asset) -> Option<String> {
    let text = std::str::from_utf8(&page.bytes).ok()?;
    let links = text.split("<link").skip(1).filter_map(|rest| rest.split('>').next());
    let link = links.into_iter().find(|link| link.contains("rel=\"stylesheet\""))?;
    let href = link.split("href=\"").nth(1)?.split('"').next()?;
    Some(format!("<link rel=\"stylesheet\" href=\"{}\">", escape(href)))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_page_has_the_viewers_style() {
        let page = abide_pages::viewer(PAGE).unwrap();
        let style = stylesheet(&page).unwrap();
        let href = style.split('"').nth(3).unwrap();
        let path = href.strip_prefix("/viewer/").unwrap();
        assert_eq!(asset(path, &HeaderMap::new()).status(), StatusCode::OK, "{href}");
    }

    #[test]
    fn no_text_becomes_markup() {
        assert_eq!(escape("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
    }
}
