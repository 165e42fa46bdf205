//! What the API server spends its time on while it is asked for tenancies.

use std::fs;
use std::path::Path;

use http::Request;
use kube::client::Body;
use leasehold_testkit::{Failure, User};

use crate::Stage;

/// Seconds of a profile. The API server ends a request after sixty.
const SECONDS: u32 = 15;

/// Has the API server look at itself for fifteen seconds, and writes what it saw to a file, as `go tool pprof` reads it.
pub async fn profile(stage: &Stage, file: &Path) -> Result<(), Failure> {
    let admin = stage.user(User::Admin).await?;
    let seen = async {
        let asked = Request::get(format!("/debug/pprof/profile?seconds={SECONDS}"));
        let asked = asked.body(Body::empty()).map_err(kube::Error::HttpError)?;
        let answer = admin.client().send(asked).await?;
        let is_well = answer.status().is_success();
        let bytes = answer.into_body().collect_bytes().await?;
        Ok::<_, kube::Error>((is_well, bytes))
    };
    let (is_well, bytes) = seen.await.map_err(|error| Failure::Call {
        what: "profile the API server".to_owned(),
        source: Box::new(error),
    })?;
    if !is_well {
        let answer = String::from_utf8_lossy(&bytes).into_owned();
        return Err(Failure::Page(format!("the API server's profile: {answer}")));
    }
    fs::write(file, bytes).map_err(Failure::file(file))
}
