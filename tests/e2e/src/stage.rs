//! The operator on a control plane, and the platform that the examples describe.

use std::time::Duration;

use leasehold_api::charging::{Approval, BookPhase, DecisionRole, PriceBook, SubjectOfDecision};
use leasehold_testkit::manifests::{self, example};
use leasehold_testkit::{
    Failure, LONG, OperatorOptions, OperatorProcess, Rig, Session, User, eventually,
};
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};

use crate::Office;

/// How long something may take that waits for a billing period to begin, to end and to close:
/// four periods of 60 seconds, since the first may be one in which something began, and what else [`LONG`] allows for.
pub const PERIODS: Duration = Duration::from_secs(480);

static BARE: OnceCell<Result<Stage, String>> = OnceCell::const_new();
static PLATFORM: OnceCell<Result<(), String>> = OnceCell::const_new();

/// A control plane with a running operator.
pub struct Stage {
    /// The control plane.
    pub rig: &'static Rig,
    /// The one operator of this test binary.
    pub operator: Mutex<OperatorProcess>,
}

impl Stage {
    /// The operator alone: no policy, no prices, nothing to lease yet.
    pub async fn bare() -> Result<&'static Self, Failure> {
        let started = BARE.get_or_init(|| async {
            Self::start()
                .await
                .map_err(|failure| format!("{failure:?}"))
        });
        started
            .await
            .as_ref()
            .map_err(|reason| Failure::Shared(reason.clone()))
    }

    /// The operator and the platform of `examples/`: policy (periods of 60 seconds), zone, site, nodes
    /// and a published price book.
    pub async fn shared() -> Result<&'static Self, Failure> {
        let stage = Self::bare().await?;
        let set = PLATFORM.get_or_init(|| async {
            stage
                .platform()
                .await
                .map_err(|failure| format!("{failure:?}"))
        });
        set.await
            .as_ref()
            .map_err(|reason| Failure::Shared(reason.clone()))?;
        Ok(stage)
    }

    async fn start() -> Result<Self, Failure> {
        let rig = Rig::shared().await?;
        let ledger = rig.scratch("operator")?.join("ledger.db");
        let operator = OperatorProcess::start(rig, OperatorOptions::with_ledger(ledger)).await?;
        Ok(Self {
            rig,
            operator: Mutex::new(operator),
        })
    }

    async fn platform(&self) -> Result<(), Failure> {
        self.furnish(&Self::policy()?).await
    }

    /// The policy of `examples/`, for whoever changes something in it before [`Stage::furnish`].
    pub fn policy() -> Result<Value, Failure> {
        let documents = example("01-policy.yaml", "")?;
        Ok(documents.into_iter().next().unwrap_or_default())
    }

    /// Makes the platform of `examples/` under a policy; once on a control plane.
    pub async fn furnish(&self, policy: &Value) -> Result<(), Failure> {
        let admin = self.user(User::Admin).await?;
        for manifest in example("00-cluster.yaml", "")? {
            admin.create(&manifest).await?;
        }
        self.user(User::Office).await?.apply(policy).await?;
        let steps = [
            (User::DataCentre, "02-platform.yaml"),
            (User::SUN, "03-prices.yaml"),
        ];
        for (user, file) in steps {
            let session = self.user(user).await?;
            for manifest in example(file, "")? {
                session.apply(&manifest).await?;
            }
        }
        self.decide(
            User::QIAN,
            SubjectOfDecision::PriceBook,
            "huangshi-2026",
            "leasehold-system",
        )
        .await?;
        self.published("huangshi-2026").await
    }

    /// Waits until the price book counts.
    pub async fn published(&self, book: &str) -> Result<(), Failure> {
        let finance = self.user(User::SUN).await?;
        self.see("the price book published", LONG, async || {
            let status = finance
                .get::<PriceBook>(None, book)
                .await?
                .status
                .unwrap_or_default();
            if status.phase == BookPhase::Published {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        })
        .await
    }

    /// A session of a user, for the calling test alone.
    pub async fn user(&self, user: User<'_>) -> Result<Session, Failure> {
        self.rig.user(user).await
    }

    /// A department with its office namespace and the rights of its staff in force.
    pub async fn office(&'static self, code: &str, name: &str) -> Result<Office, Failure> {
        self.user(User::Office)
            .await?
            .apply(&manifests::department(code, name))
            .await?;
        Office::open(self, code).await
    }

    /// The undecided approval of a request, once the operator has written it.
    pub async fn inbox(
        &self,
        subject: SubjectOfDecision,
        name: &str,
        request: u32,
        place: Option<&str>,
    ) -> Result<Approval, Failure> {
        let auditor = self.user(User::Auditor).await?;
        self.see(
            &format!("an undecided approval of {name}"),
            LONG,
            async || {
                let all = auditor
                    .list::<Approval>(place)
                    .await
                    .map_err(|f| format!("{f:?}"))?;
                let wanted = |approval: &&Approval| {
                    let spec = &approval.spec;
                    spec.subject.kind == subject
                        && &*spec.subject.name == name
                        && spec.subject.request == request
                        && spec.decision.is_none()
                };
                all.iter().find(wanted).cloned().ok_or_else(|| titles(&all))
            },
        )
        .await
    }

    /// Waits for the approval of a first request in a namespace and approves it with leasehold's command line.
    pub async fn decide(
        &self,
        by: User<'_>,
        subject: SubjectOfDecision,
        name: &str,
        place: &str,
    ) -> Result<Approval, Failure> {
        let approval = self.inbox(subject, name, 1, Some(place)).await?;
        self.approve(by, &approval).await?;
        Ok(approval)
    }

    /// Approves with leasehold's command line.
    pub async fn approve(&self, by: User<'_>, approval: &Approval) -> Result<(), Failure> {
        let (place, name) = (namespace(approval), title(approval));
        let paper = match approval.spec.role {
            DecisionRole::Office => "黄政办〔2026〕12号",
            DecisionRole::Finance => "黄财资〔2026〕44号",
        };
        let session = self.user(by).await?;
        let arguments = ["approve", &name, "-n", &place, "--order-no", paper, "--yes"];
        session.leasehold(&arguments).await?.ok()?;
        Ok(())
    }

    /// [`eventually`], with the end of the operator's log in the failure.
    pub async fn see<T>(
        &self,
        what: &str,
        bound: Duration,
        probe: impl AsyncFnMut() -> Result<T, String>,
    ) -> Result<T, Failure> {
        match eventually(what, bound, probe).await {
            Err(Failure::Late { what, bound, last }) => {
                let log = self.operator.lock().await.tail();
                let last = format!("{last}\nthe operator's last lines:\n{log}");
                Err(Failure::Late { what, bound, last })
            }
            other => other,
        }
    }
}

/// An approval's name.
fn title(approval: &Approval) -> String {
    approval.metadata.name.clone().unwrap_or_default()
}

/// An approval's namespace.
fn namespace(approval: &Approval) -> String {
    approval.metadata.namespace.clone().unwrap_or_default()
}

fn titles(all: &[Approval]) -> String {
    let names: Vec<String> = all
        .iter()
        .map(|found| {
            format!(
                "{}/{} {:?}",
                namespace(found),
                title(found),
                found.spec.decision
            )
        })
        .collect();
    format!("approvals: {}", names.join(", "))
}
