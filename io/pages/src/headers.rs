//! What the pages may do, said in headers.
//!
//! `Content-Security-Policy` level 3: <https://www.w3.org/TR/CSP3/>. No script or style but our
//! own files; the ticket's form goes to agents only, calls to brokers only.

use std::collections::BTreeSet;

/// A header's name, in lower case, and its value.
pub type Header = (&'static str, String);

/// For the portal's page, at `/`; `agents` and `brokers` as for [`portal_csp`].
#[must_use]
pub fn portal_headers(agents: &[String], brokers: &[String]) -> Vec<Header> {
    // The agent wants to see which broker's page sent the ticket. With `no-referrer` browsers make
    // the Origin of a form's POST `null`: https://fetch.spec.whatwg.org/#append-a-request-origin-header
    headers(portal_csp(agents, brokers), "strict-origin")
}

/// For the console's page, at `/console`: it calls brokers, and sends administrators to agents with a
/// ticket, as the portal does.
#[must_use]
pub fn console_headers(agents: &[String], brokers: &[String]) -> Vec<Header> {
    portal_headers(agents, brokers)
}

/// For the viewer's page; `agent` and `brokers` as for [`viewer_csp`].
#[must_use]
pub fn viewer_headers(agent: &str, brokers: &[String]) -> Vec<Header> {
    // The page's address has the view key in it.
    headers(viewer_csp(agent, brokers), "no-referrer")
}

/// The portal's policy, from public URLs.
///
/// `agents` must be the agents of now: a page that meets one that its policy lacks, because it
/// joined since, loads itself again.
#[must_use]
pub fn portal_csp(agents: &[String], brokers: &[String]) -> String {
    [
        COMMON.to_owned(),
        "img-src 'self'".to_owned(),
        directive("connect-src", sources([SELF.to_owned()], brokers)),
        directive("form-action", sources([], agents)),
    ]
    .join("; ")
}

/// The viewer's policy, from public URLs; `agent` is the one that serves the page.
#[must_use]
pub fn viewer_csp(agent: &str, brokers: &[String]) -> String {
    // Not every browser takes 'self' to mean the WebSockets of the same host.
    let own = origin(agent).map(|own| own.replacen("http", "ws", 1));
    let first = std::iter::once(SELF.to_owned()).chain(own);
    [
        COMMON.to_owned(),
        // noVNC makes cursors of data: URLs.
        "img-src 'self' data:".to_owned(),
        directive("connect-src", sources(first, brokers)),
        "form-action 'none'".to_owned(),
    ]
    .join("; ")
}

const SELF: &str = "'self'";

/// Svelte makes its templates through a trusted-types policy of this name; nothing else may.
const COMMON: &str = "default-src 'none'; script-src 'self'; style-src 'self'; base-uri 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html";

/// Bytes that one directive's list of servers may take. Browsers and proxies cut off or refuse
/// long headers, some from 8 KiB on; a longer list gives way to its schemes.
const LIST_LIMIT: usize = 4096;

fn headers(policy: String, referrer: &str) -> Vec<Header> {
    vec![
        ("content-security-policy", policy),
        ("referrer-policy", referrer.to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        ("cross-origin-opener-policy", "same-origin".to_owned()),
        ("cross-origin-resource-policy", "same-origin".to_owned()),
    ]
}

fn directive(name: &str, sources: Vec<String>) -> String {
    if sources.is_empty() {
        format!("{name} 'none'")
    } else {
        format!("{name} {}", sources.join(" "))
    }
}

/// `first`, then the origin of each URL, each once. A URL that names no origin is left out.
fn sources(first: impl IntoIterator<Item = String>, urls: &[String]) -> Vec<String> {
    let mut listed: BTreeSet<String> = urls.iter().filter_map(|url| source(url)).collect();
    if listed.iter().map(|source| source.len() + 1).sum::<usize>() > LIST_LIMIT {
        listed = listed.iter().filter_map(|source| scheme(source)).collect();
    }
    first.into_iter().chain(listed).collect()
}

/// How a policy names the server of `url`. Its grammar has no IPv6 addresses; the scheme must do.
fn source(url: &str) -> Option<String> {
    let origin = origin(url)?;
    if origin.contains('[') { scheme(&origin) } else { Some(origin) }
}

/// `https:` of `https://…` and of itself.
fn scheme(source: &str) -> Option<String> {
    Some(format!("{}:", source.split(':').next()?))
}

/// The origin of an http or https URL. Nothing passes that could end the directive it goes into.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if authority.is_empty() || !authority.chars().all(plain) {
        return None;
    }
    Some(format!("{scheme}://{}", authority.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(urls: &[&str]) -> Vec<String> {
        urls.iter().map(|&url| url.to_owned()).collect()
    }

    /// The value of one directive.
    fn of<'a>(policy: &'a str, name: &str) -> &'a str {
        policy.split("; ").find_map(|it| it.strip_prefix(name)).unwrap().trim_start()
    }

    /// The pages' own tests, in a browser, run under the headers of this file.
    #[test]
    fn the_browser_tests_use_these_headers() {
        let expected: serde_json::Value =
            serde_json::from_str(include_str!("../../../web/mock/headers.json")).unwrap();
        let agents = strings(&["http://agent-a.test/", "http://agent-b.test"]);
        let brokers = strings(&["http://broker-a.test", "http://broker-b.test/"]);
        for (name, headers) in [
            ("portal", portal_headers(&agents, &brokers)),
            ("console", console_headers(&agents, &brokers)),
            ("viewer", viewer_headers("http://agent-a.test", &brokers)),
        ] {
            let headers: serde_json::Map<_, _> =
                headers.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            assert_eq!(expected[name], serde_json::Value::Object(headers), "{name}");
        }
    }

    #[test]
    fn the_viewer_may_open_its_own_web_socket() {
        let policy = viewer_csp("https://Desk7.example:8443/x", &strings(&["https://b.example"]));
        assert_eq!(of(&policy, "connect-src"), "'self' wss://desk7.example:8443 https://b.example");
        assert_eq!(of(&policy, "form-action"), "'none'");
    }

    #[test]
    fn without_agents_no_form_goes_anywhere() {
        assert_eq!(of(&portal_csp(&[], &[]), "form-action"), "'none'");
    }

    #[test]
    fn no_url_adds_a_directive() {
        let evil = strings(&[
            "https://a.example; script-src *",
            "https://a.example script-src",
            "https://user@a.example",
            "https://a.example,b",
            "javascript:alert(1)",
            "https://",
            "",
            "https://a.example\r\nset-cookie: x",
        ]);
        let policy = portal_csp(&evil, &evil);
        assert_eq!(of(&policy, "connect-src"), "'self'");
        assert_eq!(of(&policy, "form-action"), "'none'");
    }

    #[test]
    fn a_server_stands_in_the_list_once() {
        let twice = strings(&["https://a.example/", "https://A.example", "https://a.example:443"]);
        let policy = portal_csp(&twice, &[]);
        assert_eq!(of(&policy, "form-action"), "https://a.example https://a.example:443");
    }

    #[test]
    fn what_a_policy_cannot_name_is_let_through_by_scheme() {
        let policy = portal_csp(&strings(&["https://[2001:db8::7]:8443"]), &[]);
        assert_eq!(of(&policy, "form-action"), "https:");
    }

    #[test]
    fn a_list_too_long_for_a_header_gives_way_to_its_schemes() {
        let many: Vec<String> = (0..10_000).map(|n| format!("https://desk{n}.example")).collect();
        let policy = portal_csp(&many, &[]);
        assert_eq!(of(&policy, "form-action"), "https:");
        assert!(policy.len() < LIST_LIMIT);
    }
}
