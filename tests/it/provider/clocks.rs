//! Clocks that disagree.

use super::trial::{Ends, Trial};
use Ends::{Refused, SignedIn};

#[actix_web::test]
async fn half_a_minute_is_forgiven_and_ten_are_named() {
    #[rustfmt::skip] // the columns are the point
    let cases = [
        // the provider is ahead by s, ends,                      the log says
        (30,                           SignedIn,                          ""),
        (-30,                          SignedIn,                          ""),
        (600,                          Refused("id_token_not_yet_valid"), "begins only in 600 s; compare the provider's clock with ours"),
        (-600,                         Refused("id_token_stale"),         "was issued 600 s ago; compare the provider's clock with ours"),
        (-7_200,                       Refused("id_token_expired"),       "expired 3600 s ago; compare the provider's clock with ours"),
    ];
    for (skew, ends, reason) in cases {
        let trial = Trial::start();
        trial.app.issuer.behave(|behaviour| behaviour.skew = skew);
        trial.expect(&format!("{skew} s"), ends).await;
        let told = trial.log_lines();
        assert!(told.contains(reason), "{skew} s: {told}");
    }
}
