//! What of a request's cookies an app may see: all but ours.

use std::borrow::Cow;

use actix_web::http::header::{COOKIE, HeaderMap};

use super::is_our_name;

/// What is left of the request's cookies for the app: all but ours, as they came. `None` when that is
/// nothing.
pub(in crate::http) fn without_ours(headers: &HeaderMap) -> Option<Cow<'_, [u8]>> {
    let mut kept: Cow<'_, [u8]> = Cow::default();
    for line in headers.get_all(COOKIE) {
        for pair in line.as_bytes().split(|byte| *byte == b';') {
            let pair = without_ours_within(pair);
            if pair.is_empty() {
                continue;
            }
            if kept.is_empty() {
                kept = pair;
                continue;
            }
            let kept = kept.to_mut();
            kept.extend_from_slice(b"; ");
            kept.extend_from_slice(&pair);
        }
    }
    (!kept.is_empty()).then_some(kept)
}

/// A cookie, and what follows it behind commas, without those of ours: Envoy joins several lines like that, and some
/// apps take a comma for a semicolon. A value of ours holds none.
fn without_ours_within(pair: &[u8]) -> Cow<'_, [u8]> {
    let is_ours = |part: &&[u8]| {
        let name = part.split(|byte| *byte == b'=').next().unwrap_or_default();
        is_our_name(name.trim_ascii())
    };
    if !pair.contains(&b',') {
        let pair = if is_ours(&pair) {
            &[]
        } else {
            pair.trim_ascii()
        };
        return Cow::Borrowed(pair);
    }
    let parts = || pair.split(|byte| *byte == b',');
    if !parts().any(|part| is_ours(&part)) {
        return Cow::Borrowed(pair.trim_ascii());
    }
    let kept: Vec<&[u8]> = parts().filter(|part| !is_ours(part)).collect();
    Cow::Owned(kept.join(&b',').trim_ascii().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::cookies::tests::headers;

    /// Lines of `Cookie`, and what is left of them.
    type Case = (&'static [&'static [u8]], Option<&'static [u8]>);

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn ours_are_cut_out_and_the_rest_stays_as_it_is() {
        let cases: [Case; 18] = [
            (&[b"a=1; b=2"],                                      Some(b"a=1; b=2")),
            (&[b"__Host-portcullis=x"],                           None),
            (&[b"a=1; __Host-portcullis=x; b=2"],                 Some(b"a=1; b=2")),
            (&[b"__Host-portcullis-flow=x;a=1"],                  Some(b"a=1")),
            (&[b"__Secure-portcullis=x; portcullis=y; a=1"],      Some(b"a=1")),
            (&[b"portcullis-login-AbC_-1=x; a=1"],                Some(b"a=1")),
            (&[b"a=1", b"__Host-portcullis=x", b"b=2"],           Some(b"a=1; b=2")),
            (&[b"portcullis"],                                    None),
            (&[b" portcullis =x; a=1"],                           Some(b"a=1")),
            (&[b"myportcullis=1; portcullis.x=2"],                Some(b"myportcullis=1; portcullis.x=2")),
            (&[b"Portcullis=1"],                                  Some(b"Portcullis=1")),
            (&[b"a=portcullis=x"],                                Some(b"a=portcullis=x")),
            (&[b"a=\xff\xfe; portcullis=x"],                      Some(b"a=\xff\xfe")),
            (&[b"a=1,__Host-portcullis=x,b=2; c=3"],              Some(b"a=1,b=2; c=3")),
            (&[b"a=1, __Host-portcullis-flow=x"],                 Some(b"a=1")),
            (&[b"__Host-portcullis=x,portcullis-hops=1"],         None),
            (&[b"a=1, 2,3; b=,"],                                 Some(b"a=1, 2,3; b=,")),
            (&[],                                                 None),
        ];
        for (lines, expected) in cases {
            assert_eq!(without_ours(&headers(lines)).as_deref(), expected, "{lines:?}");
        }
    }
}
