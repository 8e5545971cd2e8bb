//! What of a request, of a provider's answer or of a name gets onto a page.

use crate::pages::get;
use crate::support::app::spawn_app;
use crate::support::browser::Browser;

const FILMS: &str = "https://films.example.net/";
const NOTES: &str = "https://notes.example.net/";
const AUTH: &str = "https://auth.example.net";
const ATTACK: &str = "\"><script>alert(1)</script>";

/// Whatever a request, a provider or a name holds, a page shows it as text or not at all.
#[actix_web::test]
async fn nothing_from_outside_is_markup_on_a_page() {
    let app = spawn_app().await;
    app.issuer.behave(|behaviour| {
        behaviour.edit_claims = Box::new(|claims| {
            for claim in ["preferred_username", "name", "email"] {
                claims[claim] = format!("{claim}{ATTACK}").into();
            }
        });
    });
    app.issuer.sign_in_as("ben");
    let mut ben = Browser::new(&app);
    ben.navigate(FILMS).await;
    let front = ben.open(&format!("{AUTH}/")).await;
    assert!(
        front
            .body
            .contains("preferred_username&#34;&#62;&#60;script"),
        "{}",
        front.body
    );
    let attack: String = url::form_urlencoded::byte_serialize(ATTACK.as_bytes()).collect();
    let mut stranger = Browser::new(&app);
    // Some proxies hand a target on as it came.
    let raw_target = format!("/{ATTACK}?{ATTACK}").replace(' ', "");
    let at_host = |scheme: &str| {
        app.ask(&format!("{scheme}://films.example.net{raw_target}"))
            .navigation()
    };
    let mut long = url::Url::parse(FILMS).expect("a URL");
    long.set_query(Some(&format!("{attack}{}", "x".repeat(2_000))));
    let pages = [
        front,
        ben.ask(NOTES).navigation().send().await,
        at_host("https").method("POST").send().await,
        at_host("http").send().await,
        app.ask(FILMS)
            .header("x-forwarded-host", ATTACK)
            .navigation()
            .send()
            .await,
        app.ask(FILMS)
            .header("x-forwarded-proto", ATTACK)
            .navigation()
            .send()
            .await,
        app.ask(FILMS).method(ATTACK).navigation().send().await,
        app.ask("https://xn--script.example.net/")
            .navigation()
            .send()
            .await,
        get(&app, &format!("/{attack}")).await,
        get(
            &app,
            &format!("/callback?error={attack}&error_description={attack}&state={attack}"),
        )
        .await,
        get(&app, &format!("/signed-out?state={attack}")).await,
        get(&app, &format!("/logout?rd={attack}")).await,
        stranger.navigate(long.as_str()).await.end,
        ben.open(&format!("{AUTH}/login?rd={attack}")).await,
    ];
    for page in pages {
        let written = format!("{:?} {}", page.headers, page.body).to_ascii_lowercase();
        assert!(!written.contains("<script"), "{written}");
    }
    // As JSON it may stand as it is: nobody takes that for a page.
    let whoami = ben.open(&format!("{AUTH}/whoami")).await;
    assert!(
        whoami.json()["username"]
            .as_str()
            .expect("a name")
            .ends_with(ATTACK)
    );
    assert_eq!(whoami.header("x-content-type-options"), "nosniff");
}
