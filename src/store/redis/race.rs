//! Asking several for the same: one after the other, and not waiting long for one that is silent.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

/// So long one is waited for alone. Then the next is asked as well.
const STAGGER: Duration = Duration::from_millis(250);

/// The first good answer.
///
/// # Errors
///
/// The last failure, when all have failed.
pub(super) async fn first<T, F>(attempts: impl IntoIterator<Item = F>) -> Result<T, String>
where
    F: Future<Output = Result<T, String>>,
{
    let mut waiting = attempts.into_iter();
    let mut running = FuturesUnordered::new();
    let mut failure = "there is nobody to ask".to_owned();
    running.extend(waiting.next());
    loop {
        let next = tokio::select! {
            done = running.next() => match done {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(reason)) => {
                    failure = reason;
                    waiting.next()
                }
                None => return Err(failure),
            },
            () = sleep(STAGGER) => waiting.next(),
        };
        running.extend(next);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_fails_or_is_silent_is_passed_over() {
        let fails = || ready(Err::<u8, _>("refused".to_owned())).boxed();
        let is_silent = || pending().boxed();
        let answers = |answer| ready(Ok(answer)).boxed();
        assert_eq!(first([fails(), answers(1), answers(2)]).await, Ok(1));
        assert_eq!(first([is_silent(), fails(), answers(3)]).await, Ok(3));
        assert_eq!(first([fails(), fails()]).await, Err("refused".to_owned()));
        let nobody: [std::future::Ready<Result<u8, String>>; 0] = [];
        assert!(first(nobody).await.is_err());
    }
}
