//! Waiting for a condition.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Failure;

/// How long anything may take that does not depend on a billing period. Generous, because two
/// cores may carry a build beside the control plane, and a shared disk answers when it likes; a test that
/// passes never waits for it.
pub const LONG: Duration = Duration::from_secs(240);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(100);

/// Asks `probe` until it gives a value. Its errors are the states seen so far; the last of them is in
/// the failure.
pub async fn eventually<T>(
    what: &str,
    bound: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, Failure> {
    let deadline = Instant::now() + bound;
    loop {
        let last = match probe().await {
            Ok(value) => return Ok(value),
            Err(last) => last,
        };
        if Instant::now() >= deadline {
            let what = what.to_owned();
            return Err(Failure::Late { what, bound, last });
        }
        sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_condition_that_comes_about_gives_its_value() {
        let mut asked = 0;
        let value = eventually("the third time", LONG, async || {
            asked += 1;
            if asked < 3 {
                Err(format!("asked {asked} times"))
            } else {
                Ok(asked)
            }
        });
        assert_eq!(value.await.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_condition_that_does_not_come_about_is_a_failure_with_the_last_state() {
        let started = Instant::now();
        let result: Result<(), _> =
            eventually("rain", LONG, async || Err("a blue sky".to_owned())).await;
        let text = format!("{:?}", result.unwrap_err());
        assert!(text.contains("failed to see rain within 240s"), "{text}");
        assert!(text.contains("a blue sky"), "{text}");
        assert!(started.elapsed() >= LONG);
        assert!(started.elapsed() < LONG + Duration::from_secs(1));
    }
}
