//! Sending: as the people whose kinds they are, with bodies that no typed client would write.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _};
use http::Request;
use kube::{Client, Error};
use leasehold_e2e::{Office, Stage};
use leasehold_testkit::{Session, User};
use serde_json::Value;

use crate::cases::Case;
use crate::leaves::Kind;

/// Requests under way at a time.
const WORKERS: usize = 16;

/// What the API server said.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Yes, or that an object of this name is there already, which it says last of all.
    Accepted,
    /// No.
    Refused(Refusal),
}

/// A refusal.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// HTTP status.
    pub code: u16,
    /// The whole sentence, as kubectl shows it.
    pub message: String,
    /// Field and sentence of each cause.
    pub causes: Vec<(String, String)>,
}

/// Whether anything is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is.
    Really,
    /// It is asked only.
    Never,
}

/// Who writes what.
pub struct People {
    department: Session,
    office: Session,
    finance: Session,
    data_centre: Session,
    appraiser: Session,
    operator: Session,
}

impl People {
    /// The people of the platform and the staff of one department.
    pub async fn around(office: &Office) -> Self {
        let stage: &Stage = office.stage;
        Self {
            department: office.staff.clone(),
            office: stage.user(User::Office).await.unwrap(),
            finance: stage.user(User::SUN).await.unwrap(),
            data_centre: stage.user(User::DataCentre).await.unwrap(),
            appraiser: stage.user(User::Appraiser).await.unwrap(),
            operator: stage.rig.service_account().await.unwrap(),
        }
    }

    fn writer(&self, kind: &str) -> Client {
        let session = match kind {
            "Tenancy" | "InformationSystem" | "HardwareContribution" => &self.department,
            "CloudPolicy" | "Department" | "Suspension" => &self.office,
            "PriceBook" => &self.finance,
            "Cloudlet" | "NetworkZone" | "Meter" | "HandoverReceipt" => &self.data_centre,
            "Appraisal" => &self.appraiser,
            "Approval" | "BillingPeriod" | "Statement" => &self.operator,
            other => panic!("nobody is known to write {other}"),
        };
        session.client()
    }
}

/// Where things are sent.
pub struct Wire<'a> {
    /// Who sends.
    pub people: People,
    /// The namespace of what lives in one.
    pub place: &'a str,
    /// The kinds.
    pub kinds: &'a BTreeMap<String, Kind>,
}

impl Wire<'_> {
    /// Sends cases, several at a time; the answers are in no particular order.
    pub async fn send<'c>(&self, cases: &'c [Case], stored: Stored) -> Vec<(&'c Case, Answer)> {
        let sending = cases.iter().map(|case| async move {
            let answer = self.create(&case.kind, &case.manifest, stored).await;
            (
                case,
                answer.unwrap_or_else(|error| panic!("{}: {error}", case.title())),
            )
        });
        stream::iter(sending)
            .buffer_unordered(WORKERS)
            .collect()
            .await
    }

    /// Creates an object as whoever writes its kind.
    pub async fn create(
        &self,
        kind: &str,
        manifest: &Value,
        stored: Stored,
    ) -> Result<Answer, String> {
        let body = manifest.to_string().into_bytes();
        self.post(kind, body, stored).await
    }

    /// Sends a body that may be no manifest, or no JSON, to where objects of a kind are created.
    pub async fn post(&self, kind: &str, body: Vec<u8>, stored: Stored) -> Result<Answer, String> {
        let dry = match stored {
            Stored::Really => "",
            Stored::Never => "&dryRun=All",
        };
        // kubectl asks for strict validation as well: unknown fields are refused, not dropped
        let address = format!("{}?fieldValidation=Strict{dry}", self.address(kind));
        let request = Request::post(address)
            .header("content-type", "application/json")
            .body(body)
            .map_err(|error| error.to_string())?;
        match self.people.writer(kind).request_text(request).await {
            Ok(_) => Ok(Answer::Accepted),
            Err(Error::Api(status)) if status.reason == "AlreadyExists" => Ok(Answer::Accepted),
            Err(Error::Api(status)) => Ok(Answer::Refused(Refusal {
                code: status.code,
                causes: status
                    .details
                    .iter()
                    .flat_map(|details| &details.causes)
                    .map(|cause| (cause.field.clone(), cause.message.clone()))
                    .collect(),
                message: status.message,
            })),
            Err(error) => Err(error.to_string()),
        }
    }

    /// All objects of a kind in the namespace, or in the cluster.
    pub async fn list(&self, kind: &str) -> Result<Vec<Value>, String> {
        let request = Request::get(self.address(kind))
            .body(Vec::new())
            .map_err(|error| error.to_string())?;
        let client = self.people.writer(kind);
        let list: Value = client
            .request(request)
            .await
            .map_err(|error| error.to_string())?;
        let items = list["items"].as_array();
        items
            .cloned()
            .ok_or_else(|| format!("a list of {kind} without items: {list}"))
    }

    /// Deletes one object as whoever writes its kind.
    pub async fn delete(&self, kind: &str, name: &str) -> Result<(), String> {
        let request = Request::delete(format!("{}/{name}", self.address(kind)))
            .body(Vec::new())
            .map_err(|error| error.to_string())?;
        let deleted = self.people.writer(kind).request_text(request).await;
        deleted
            .map(drop)
            .map_err(|error| format!("{kind} {name}: {error}"))
    }

    fn address(&self, kind: &str) -> String {
        let found = &self.kinds[kind];
        if found.namespaced {
            let place = self.place;
            format!("{}/namespaces/{place}/{}", found.root, found.plural)
        } else {
            format!("{}/{}", found.root, found.plural)
        }
    }
}
