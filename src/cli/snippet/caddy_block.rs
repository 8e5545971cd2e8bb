//! The Caddyfile's snippets: `(portcullis)` for sites that are protected, `(portcullis_strip)` for the others.

/// Takes our own credentials out of what goes to an app. A value of ours never holds a `;`; several in a row are
/// one match, since none could begin where the one before has just ended.
const STRIP: &str = r#"	request_header Cookie "(^|[;\s])(?:(?:__Host-|__Secure-)?portcullis[A-Za-z0-9_-]*=[^;]*(?:;\s*|$))+" "$1"
	request_header -Portcullis-Key
"#;

/// The snippet that asks `verify`, and has Caddy copy the headers `names`. `secret` says whether the proxy must show
/// `server.proxy_secret_file`.
pub(super) fn gate(verify: &str, names: &[String], secret: bool) -> String {
    let (told, guarded) = if names.is_empty() {
        (String::new(), String::new())
    } else {
        (copying(names), connection(names) + &lookalikes(names))
    };
    let begins = BLOCK_BEGINS.replace("ADDRESS", verify);
    let shown = if secret { SECRET } else { "" };
    let unshown = if secret { NO_SECRET } else { "" };
    format!("{begins}{shown}{told}{BLOCK_GOES_ON}{guarded}{BLOCK_ENDS}{STRIP}{unshown}}}\n")
}

/// The snippet that only takes our own credentials out.
pub(super) fn strip() -> String {
    format!("{STRIP_BEGINS}{STRIP}}}\n")
}

const BLOCK_BEGINS: &str = "\
(portcullis) {
	# Plain `forward_auth`, never inside `route`: Caddy runs `handle`, `handle_path` and `respond`
	# before a `route`, so a site with one of these would serve it to strangers.
	forward_auth ADDRESS {
		# The `?` drops the client's query, which is no business of this request.
		uri /verify?
";

/// The text itself is for whoever runs it to fill in: what we print is no secret.
const SECRET: &str = "\
		# In the place of SECRET: the text of `server.proxy_secret_file`. Then nobody else may read this.
		header_up Portcullis-Proxy \"SECRET\"
";

/// What a client says in the place of the proxy is no business of the app either.
const NO_SECRET: &str = "	request_header -Portcullis-Proxy
";

const BLOCK_GOES_ON: &str =
    "		# Without these Caddy would wait for ever for an answer that does not come.
		transport http {
			dial_timeout 1s
			response_header_timeout 5s
			# Before 2.11.5 Caddy could take a connection to the app for one to Portcullis while it was busy, and the
			# app's answers for ours: so none is kept. From 2.11.5 on this line may go.
			keepalive off
		}
	}
";

const BLOCK_ENDS: &str = "	# WebSockets are handed on, and no other protocol: whatever went through one would be asked about no
	# more.
	request_header Upgrade \"(?i)^(?:(websocket)|.*)$\" \"$1\"
	# Some apps take their path from these, whatever was asked for.
	request_header -X-Original-URL
	request_header -X-Rewrite-URL
	# What lets a browser or a program in here is no business of the app.
";

const STRIP_BEGINS: &str = "
# For sites that are not protected, and that browsers send our cookies to all the same: they share a
# host or a cookie domain with what is.
(portcullis_strip) {
";

fn copying(names: &[String]) -> String {
    let names = names.join(" ");
    format!(
        "		# The same names twice: what Caddy copies to the app, and our word to Portcullis that it
		# does. The list holds every header that any service sets; Caddy takes the client's own
		# copies of these away.
		header_up Portcullis-Copy \"{names}\"
		copy_headers {names}
"
    )
}

fn connection(names: &[String]) -> String {
    format!(
        "	# A client's `Connection: {}` would make Caddy drop the header just copied.
	request_header Connection \"(?i){}\" \"x\"
",
        names.first().map_or("", String::as_str),
        pattern(names)
    )
}

/// Apps that see headers as CGI variables take `Remote_User` for `Remote-User`, and some `Remote.User` too. So no
/// header is handed on whose name holds one of these characters; where one of ours does, Caddy itself has to see
/// to it.
fn lookalikes(names: &[String]) -> String {
    let mut lines = String::new();
    for mark in ['_', '.'] {
        if !names.iter().any(|name| name.contains(mark)) {
            lines.push_str("	request_header -*");
            lines.push(mark);
            lines.push_str("*\n");
        }
    }
    if lines.is_empty() {
        return lines;
    }
    format!(
        "	# Many apps read Remote_User, and some Remote.User, as Remote-User. Newer Caddys drop such names
	# themselves.
{lines}"
    )
}

/// A regular expression for the names, in lower case. Those that begin alike share their beginning.
fn pattern(names: &[String]) -> String {
    let mut families: Vec<(String, Vec<String>)> = Vec::new();
    for name in names {
        let name = name.to_ascii_lowercase();
        let (family, rest) = match name.split_once('-') {
            Some((family, rest)) => (format!("{family}-"), rest.to_owned()),
            None => (name, String::new()),
        };
        match families.iter_mut().find(|(known, _)| *known == family) {
            Some((_, members)) => members.push(rest),
            None => families.push((family, vec![rest])),
        }
    }
    let patterns = families.iter().map(|(family, members)| {
        let members: Vec<String> = members.iter().map(|member| escape(member)).collect();
        match members.as_slice() {
            [only] => format!("{}{only}", escape(family)),
            several => format!("{}({})", escape(family), several.join("|")),
        }
    });
    patterns.collect::<Vec<_>>().join("|")
}

/// Every character that a regular expression could take for more than itself, behind a backslash. Letters,
/// digits, `-` and `_` are never more.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_takes_the_names_and_nothing_more() {
        let pattern = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            pattern(&names)
        };
        assert_eq!(
            pattern(&["Remote-User", "Remote-Groups", "X-Api-Key"]),
            "remote-(user|groups)|x-api-key"
        );
        assert_eq!(
            pattern(&["X-WEBAUTH-USER", "Authorization", "x-api-key"]),
            "x-(webauth-user|api-key)|authorization"
        );
        assert_eq!(pattern(&["X.Key*", "a|b"]), r"x\.key\*|a\|b");
    }

    #[test]
    fn names_of_our_own_with_such_a_character_are_not_taken_away() {
        let lines = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let text = lookalikes(&names);
            let lines = text.lines().map(str::trim);
            let lines = lines.filter(|line| !line.starts_with('#'));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let (underscore, dot) = ("request_header -*_*", "request_header -*.*");
        assert_eq!(lines(&["Remote-User"]), [underscore, dot]);
        assert_eq!(lines(&["Remote-User", "X_User"]), [dot]);
        assert_eq!(lines(&["X.User"]), [underscore]);
        assert!(lines(&["X.User", "X_User"]).is_empty());
        assert_eq!(lookalikes(&["X._".into()]), "");
    }
}
