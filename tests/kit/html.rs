//! As much of HTML as it takes to press a button on one of our pages or the provider's.

use super::upstream::Seen;

/// The first form of a page.
#[derive(Debug, PartialEq, Eq)]
pub struct Form {
    pub action: String,
    pub method: String,
    /// Hidden inputs, which go along whatever is pressed.
    pub hidden: Vec<(String, String)>,
}

impl Form {
    pub fn first_in(page: &str) -> Option<Self> {
        let (_, from_form) = page.split_once("<form")?;
        let (tag, rest) = from_form.split_once('>')?;
        let inside = rest.split_once("</form").map_or(rest, |(inside, _)| inside);
        let hidden = inside
            .split("<input")
            .skip(1)
            .filter_map(|from_input| from_input.split_once('>'))
            .filter(|(input, _)| attribute(input, "type").as_deref() == Some("hidden"))
            .filter_map(|(input, _)| {
                Some((
                    attribute(input, "name")?,
                    attribute(input, "value").unwrap_or_default(),
                ))
            })
            .collect();
        Some(Self {
            action: attribute(tag, "action").unwrap_or_default(),
            method: attribute(tag, "method")
                .unwrap_or_default()
                .to_ascii_lowercase(),
            hidden,
        })
    }
}

/// Where the link with this text leads.
pub fn link(page: &str, text: &str) -> Option<String> {
    let (before, _) = page.split_once(&format!(">{text}</a>"))?;
    let (_, tag) = before.rsplit_once("<a")?;
    attribute(tag, "href")
}

/// The value of `name="…"` in a tag.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let marker = format!(" {name}=\"");
    // A line break stands between attributes as well as a blank does.
    let tag = tag.replace(['\n', '\t'], " ");
    let (_, after) = tag.split_once(&marker)?;
    let (value, _) = after.split_once('"')?;
    Some(unescape(value))
}

/// What a page says, on one line; of what is not a page, the first of it.
pub fn words(page: &str) -> String {
    let main = page.split_once("<main").map_or(page, |(_, main)| main);
    let mut words = String::new();
    for (number, piece) in main.split('<').enumerate() {
        let text = match piece.split_once('>') {
            Some((_, text)) if number > 0 => text,
            _ => piece,
        };
        for word in text.split_whitespace() {
            words.push_str(word);
            words.push(' ');
        }
    }
    unescape(&words).chars().take(600).collect()
}

pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Undoes [`escape`], and the numeric forms that template engines write.
fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#x27;", "'")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#38;", "&")
        .replace("&amp;", "&")
}

/// The request that a page of our sample app shows.
pub fn embedded_json(page: &str) -> Option<Seen> {
    let (_, rest) = page.split_once(r#"<script type="application/json" id="request">"#)?;
    let (json, _) = rest.split_once("</script>")?;
    serde_json::from_str(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_form() {
        let page = r#"<p>x<form class="a" method="POST" action="/go?a=1&amp;b=2">
            <input type="hidden" name="token" value="a&quot;b"><input type="text" name="q">
            <button>Go</button></form><form action="/other"></form>"#;
        let expected = Form {
            action: "/go?a=1&b=2".to_owned(),
            method: "post".to_owned(),
            hidden: vec![("token".to_owned(), "a\"b".to_owned())],
        };
        assert_eq!(Form::first_in(page), Some(expected));
        assert_eq!(Form::first_in("<p>none"), None);
    }

    #[test]
    fn finds_a_link_by_its_text() {
        let page = r#"<a href="/one">One</a> <a class="b" href="/two?a=1&#38;b=2">Two</a>"#;
        assert_eq!(link(page, "Two").as_deref(), Some("/two?a=1&b=2"));
        assert_eq!(link(page, "Three"), None);
    }
}
