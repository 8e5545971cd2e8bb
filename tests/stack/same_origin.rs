//! Pages of other sites and the cookie of whoever looks at them, in a real Chromium.

use fantoccini::Client;
use serde_json::{Value, json};

use crate::chain::{Chain, POLICIES, Plan};
use crate::chromium::{Chromium, LIMIT, arrive, eventually, find, press};
use crate::kit::{Failure, Result};

const FILMS: &str = "films.home.localhost";
/// Of the same site, so that the cookie goes along: the guard alone is in the way.
const NEIGHBOUR: &str = "neighbour.home.localhost";
/// Of another site.
const STRANGER: &str = "stranger.elsewhere.localhost";
/// Of the same site too, and named in `allowed_origins`.
const FRIEND: &str = "friend.home.localhost";

/// Posts a form to a URL, as a page does that its reader only looked at.
const POST: &str = "const form = document.createElement('form');
form.method = 'post';
form.action = arguments[0];
document.body.append(form);
form.submit();";

/// Opens a WebSocket, and waits until it is open or over.
const OPEN_SOCKET: &str = "const done = arguments[1];
const socket = new WebSocket(arguments[0]);
socket.onopen = () => done('open');
socket.onclose = () => done('closed');";

/// Posts by `fetch` with the cookie, and waits for the answer or its refusal.
const FETCH: &str = "const done = arguments[1];
fetch(arguments[0], { method: 'POST', credentials: 'include', mode: 'no-cors' })
    .then(() => done('answered'), () => done('refused'));";

#[tokio::test]
async fn only_the_apps_own_pages_and_allowed_ones_may_write_to_it() {
    let rules = format!(
        r#"{POLICIES}
[services.films]
host = "{FILMS}"
policy = "media"
allowed_origins = ["https://{FRIEND}:{{port}}"]
"#
    );
    let open = [NEIGHBOUR, STRANGER, FRIEND];
    let sites = open.map(|host| format!("{host} {{\n\treverse_proxy 127.0.0.1:{{app}}\n}}\n"));
    let chain = Chain::start(&Plan {
        rules: &rules,
        protected: &[FILMS],
        sites: &sites.concat(),
        ..Plan::default()
    })
    .await
    .unwrap();
    let chromium = Chromium::start().await.unwrap();
    let outcome = tokio::time::timeout(LIMIT * 2, drive(&chain, &chromium.client)).await;
    chromium.close().await;
    outcome.expect("in time").unwrap();
}

async fn drive(chain: &Chain, page: &Client) -> Result<()> {
    let films = chain.url(FILMS, "/");
    page.goto(&films).await.map_err(Failure::new)?;
    press(page, "button[value=ben]").await?;
    arrive(page, &films).await?;

    #[rustfmt::skip] // the columns are the point
    let cases = [
        ("its own page",                   FILMS,     true),
        ("a page of another site",         STRANGER,  false),
        ("a page of a neighbour",          NEIGHBOUR, false),
        ("a page of an allowed origin",    FRIEND,    true),
    ];
    for (who, host, may) in cases {
        let at = chain.url(host, "/page");
        for (way, script) in [("socket", OPEN_SOCKET), ("fetch", FETCH)] {
            page.goto(&at).await.map_err(Failure::new)?;
            find(page, "#user").await?;
            let mark = format!("{way}-of-{host}");
            let target = chain.url(FILMS, &format!("/write?{mark}"));
            let target = match way {
                "socket" => target.replace("https:", "wss:"),
                _ => target,
            };
            page.execute_async(script, vec![json!(target)])
                .await
                .map_err(Failure::of(&mark))?;
            assert_eq!(
                chain.app.requests_with(&mark).len(),
                usize::from(may),
                "{who}, {way}"
            );
        }
        page.goto(&at).await.map_err(Failure::new)?;
        let mark = format!("form-of-{host}");
        let target = chain.url(FILMS, &format!("/write?{mark}"));
        page.execute(POST, vec![json!(target)])
            .await
            .map_err(Failure::of(&mark))?;
        arrive(page, &target).await?;
        let asked = eventually(who, LIMIT, || async {
            let ready = page.execute("return document.readyState", vec![]).await;
            match ready.map_err(Failure::new)? {
                Value::String(state) if state == "complete" => Ok(chain.app.requests_with(&mark)),
                other => Err(Failure(other.to_string())),
            }
        })
        .await?;
        assert_eq!(asked.len(), usize::from(may), "{who}, form");
        if may {
            assert_eq!(asked[0].all("remote-user"), ["ben"], "{who}");
        }
    }
    // Looking is allowed from everywhere: a link leads in.
    page.goto(&chain.url(NEIGHBOUR, "/page"))
        .await
        .map_err(Failure::new)?;
    let target = chain.url(FILMS, "/linked");
    page.execute("location.href = arguments[0]", vec![json!(target)])
        .await
        .map_err(Failure::new)?;
    arrive(page, &target).await?;
    find(page, "#user").await?;
    Ok(())
}
