//! The cases.

use futures::StreamExt as _;
use futures::stream;

use crate::crowd::Crowd;
use crate::ground::laid;
use crate::table::{Job, Table};

/// How many requests are on their way at once.
pub const AT_ONCE: usize = 12;

/// Tries all, and gives what did not come out as it should.
async fn failures(crowd: &Crowd, jobs: Vec<Job<'_>>) -> Vec<String> {
    let tried = stream::iter(jobs).map(|job| async move {
        let result = crowd.try_out(job.request, &job.outcome).await;
        result
            .err()
            .map(|reason| format!("{}: {:?}\n    {reason}", job.of, job.request))
    });
    tried
        .buffer_unordered(AT_ONCE)
        .filter_map(|failure| async move { failure })
        .collect()
        .await
}

#[tokio::test]
async fn every_policy_lets_through_what_it_should_and_refuses_the_rest_by_the_name_of_its_rule() {
    let crowd = Crowd::gather(laid().await.unwrap()).await.unwrap();
    let table = Table::read().unwrap();
    let jobs: Vec<Job<'_>> = table.jobs(false).collect();
    assert!(jobs.len() > 350, "only {} requests", jobs.len());
    let failures = failures(&crowd, jobs).await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn what_no_policy_is_about_is_closed_by_the_api_server_or_goes_on_undisturbed() {
    let crowd = Crowd::gather(laid().await.unwrap()).await.unwrap();
    let table = Table::read().unwrap();
    let failures = failures(&crowd, table.beside().collect()).await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
