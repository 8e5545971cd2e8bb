//! The user that Redis knows us as: exactly what it needs, and its password.

use super::*;

/// What is needed to be told of changes, and for nothing else.
pub(super) const FOR_TELLING: [&str; 3] = ["+client|tracking", "+info|server", "+role"];

/// The line of docs/redis.md that makes our user, as words.
pub(super) fn documented_user() -> Vec<String> {
    documented_user_of("## The user", 0)
}

/// One of those that stand below a heading.
pub(super) fn documented_user_of(heading: &str, place: usize) -> Vec<String> {
    let page = include_str!("../../../../docs/redis.md");
    let below = page.lines().skip_while(|line| *line != heading);
    let mut lines = below.filter(|line| line.starts_with("user portcullis "));
    let line = lines.nth(place).expect("the page has the line");
    let words = line.split_whitespace();
    words.skip(1).map(str::to_owned).collect()
}

pub(super) fn make_user(server: &RedisServer, words: &[String]) {
    let mut command = vec!["ACL", "SETUSER"];
    command.extend(words.iter().map(String::as_str));
    assert_eq!(server.ask(&command), "OK");
}

fn as_our_user(server: &RedisServer, credentials: &Arc<Shown>) -> RedisStore {
    open(RedisSettings {
        user: Some("portcullis".into()),
        credentials: credentials.clone(),
        ..settings(server.port)
    })
}

pub(super) fn password_in(words: &[String]) -> &str {
    let password = words.iter().find_map(|word| word.strip_prefix('>'));
    password.expect("the user has a password")
}

#[tokio::test]
async fn keeps_the_contract_as_the_documented_user() {
    let server = RedisServer::start();
    let words = documented_user();
    make_user(&server, &words);
    let credentials = Shown::password(password_in(&words));
    let store = as_our_user(&server, &credentials);
    contract::holds(&store, &server).await;
}

/// Each of its permissions is needed: without it, something is refused.
#[tokio::test]
async fn the_documented_user_may_do_nothing_that_is_not_needed() {
    let server = RedisServer::start();
    let words = documented_user();
    // A name is for people, and nothing depends on it. Without word of changes all is read (`telling`).
    let is_needed = |word: &&String| {
        word.starts_with('+') && *word != "+client|setname" && !FOR_TELLING.contains(&word.as_str())
    };
    for left_out in words.iter().filter(is_needed) {
        let rest: Vec<String> = words
            .iter()
            .filter(|word| *word != left_out)
            .cloned()
            .collect();
        make_user(&server, &[words[0].clone(), "reset".into()]);
        make_user(&server, &rest);
        let store = as_our_user(&server, &Shown::password(password_in(&words)));
        let done = async {
            server.ask(&["FLUSHALL"]);
            create(&store, "a").await?;
            let read = store.get(&key("a")).await?.expect("a record");
            store.replace(&key("a"), read.version, b"b", MINUTE).await?;
            store.prolong(&key("a"), MINUTE).await?;
            store.delete(&key("a")).await?;
            create(&store, "b").await?;
            let held = store.get(&key("b")).await?.expect("a record");
            store.delete_version(&key("b"), held.version).await?;
            store.enlist(&key("index"), "a", MINUTE).await?;
            store.members(&key("index")).await?;
            store.page(&key(""), None, 10).await?;
            store.delist(&key("index"), "a").await
        };
        let error = done.await.expect_err(left_out);
        assert!(error.to_string().contains("NOPERM"), "{left_out}: {error}");
    }
}

#[tokio::test]
async fn a_changed_password_needs_no_restart() {
    let server = RedisServer::start();
    let words = documented_user();
    make_user(&server, &words);
    let credentials = Shown::password(password_in(&words));
    let store = as_our_user(&server, &credentials);
    assert_eq!(create(&store, "kept").await, Ok(true));
    server.ask(&["ACL", "SETUSER", "portcullis", "resetpass", ">another"]);
    // Who is in stays in.
    assert_eq!(has(&store, "kept").await, Ok(true));
    server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    let (error, _) = lost(&store).await;
    let said = error.to_string();
    assert!(
        said.contains("refuses the user name or the password"),
        "{said}"
    );
    credentials.change("another");
    recovered(&store).await;
    assert_eq!(has(&store, "kept").await, Ok(true));
}

#[tokio::test]
async fn what_redis_refuses_is_told_in_plain_words_and_without_secrets() {
    const SECRET: &str = "correct-horse";
    let server = RedisServer::start();
    let user = |words: &[&str]| {
        let mut command = vec!["ACL", "SETUSER", "portcullis", "reset"];
        command.extend(words);
        assert_eq!(server.ask(&command), "OK");
    };
    let said = async |settings: RedisSettings| {
        let error = open(settings).ping().await.expect_err("a refusal");
        let text = format!("{error} {error:?}");
        assert!(
            !text.contains(SECRET) && !text.contains("wrong-one"),
            "{text}"
        );
        error.to_string()
    };
    let ours = |password: &str| RedisSettings {
        user: Some("portcullis".into()),
        credentials: Shown::password(password),
        ..settings(server.port)
    };
    user(&["on", &format!(">{SECRET}"), "~portcullis:*", "+get"]);
    assert!(
        said(ours("wrong-one"))
            .await
            .contains("refuses the user name or the password")
    );
    open(ours(SECRET)).ping().await.expect("an answer");
    let other_database = RedisSettings {
        database: 1,
        ..ours(SECRET)
    };
    assert!(said(other_database).await.contains("NOPERM"));
    user(&["on", &format!(">{SECRET}"), "~portcullis:*", "-@all"]);
    assert!(said(ours(SECRET)).await.contains("NOPERM"));
    user(&["on", &format!(">{SECRET}"), "~others:*", "+get"]);
    assert!(said(ours(SECRET)).await.contains("NOPERM"));
    server.ask(&["CONFIG", "SET", "requirepass", SECRET]);
    let nobody = settings(server.port);
    assert!(said(nobody).await.contains("asks for a password"));
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named_as_the_cause() {
    let server = RedisServer::start();
    let store = open(RedisSettings {
        database: 16,
        ..settings(server.port)
    });
    let error = store.ping().await.expect_err("no such database");
    assert!(
        error.to_string().contains("no database of this number"),
        "{error}"
    );
}
