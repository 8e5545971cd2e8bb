//! What a proxy asks: the request that everything is measured with.

/// The app that is asked about.
pub const HOST: &str = "films.example.net";

/// The headers that the configuration of a run sets: what the proxy says that it copies.
const COPIED: &str = "Remote-User Remote-Name Remote-Email Remote-Groups X-Api-Key";

/// A request for a part of a page, as Chromium sends it.
const BROWSER: [(&str, &str); 10] = [
    ("Accept", "*/*"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-GB,en;q=0.9"),
    ("Priority", "u=1, i"),
    ("Referer", "https://films.example.net/library/recent"),
    (
        "Sec-Ch-Ua",
        "\"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"",
    ),
    ("Sec-Ch-Ua-Mobile", "?0"),
    ("Sec-Fetch-Dest", "empty"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Site", "same-origin"),
];

const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

/// What the proxy adds.
const PROXY: [(&str, &str); 7] = [
    ("Portcullis-Copy", COPIED),
    ("Via", "2.0 Caddy"),
    ("X-Forwarded-For", "203.0.113.7"),
    ("X-Forwarded-Host", HOST),
    ("X-Forwarded-Method", "GET"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Uri", "/api/library/items?limit=50&offset=100"),
];

/// The name of the cookie of an app's host.
const COOKIE: &str = "__Host-portcullis";

/// What a browser sends in `Cookie`: ours, and one of the app.
pub fn cookie(value: &str) -> String {
    format!("theme=dark; {COOKIE}={value}")
}

/// What the browser sends to the proxy.
pub fn browser_headers(cookie: Option<&str>) -> Vec<(&'static str, String)> {
    let mut headers = vec![("Host", HOST.to_owned()), ("User-Agent", AGENT.to_owned())];
    headers.extend(BROWSER.map(|(name, value)| (name, value.to_owned())));
    headers.extend(cookie.map(|cookie| ("Cookie", cookie.to_owned())));
    headers
}

/// What Caddy 2.11 asks `/verify` for that, but for the order.
pub fn verify_headers(cookie: Option<&str>) -> Vec<(&'static str, String)> {
    let mut headers = browser_headers(cookie);
    headers.extend(PROXY.map(|(name, value)| (name, value.to_owned())));
    headers
}

/// The same about another address of the host, as a browser that goes there by itself.
pub fn verify_headers_at(target: &str, cookie: &str) -> Vec<(&'static str, String)> {
    let mut headers = verify_headers(Some(cookie));
    for (name, value) in &mut headers {
        let other = match *name {
            "X-Forwarded-Uri" => target,
            "Sec-Fetch-Dest" => "document",
            "Sec-Fetch-Mode" => "navigate",
            _ => continue,
        };
        other.clone_into(value);
    }
    headers
}

/// A whole request for `path`.
pub fn request(path: &str, headers: &[(&str, String)]) -> String {
    let lines = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("GET {path} HTTP/1.1\r\n{}\r\n", lines.collect::<String>())
}
