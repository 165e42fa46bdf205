//! A department and what its staff does.

use std::fs;

use leasehold_api::charging::{Approval, SubjectOfDecision};
use leasehold_api::conditions::types;
use leasehold_api::tenancy::{ContributionPhase, HardwareContribution, Phase, Tenancy};
use leasehold_testkit::manifests::{self, Contributed, Share};
use leasehold_testkit::{Failure, LONG, Ran, Session, User};
use serde_json::Value;

use crate::{PERIODS, Stage};

/// A department with one member of its staff at work.
pub struct Office {
    /// The stage that it acts on.
    pub stage: &'static Stage,
    /// Its code.
    pub code: String,
    /// Its office namespace.
    pub place: String,
    /// The member of its staff.
    pub staff: Session,
}

impl Office {
    /// Waits until the department's staff may work in its office namespace.
    pub async fn open(stage: &'static Stage, code: &str) -> Result<Self, Failure> {
        let (place, staff) = (
            manifests::office(code),
            stage.user(User::Department(code)).await?,
        );
        let question = [
            "auth",
            "can-i",
            "create",
            "tenancies.tenancy.leasehold.dev",
            "-n",
            &place,
        ];
        stage
            .see("rights of the department's staff", LONG, async || {
                Ran::succeeded(staff.kubectl(&question, "").await)
            })
            .await?;
        Ok(Self {
            stage,
            code: code.to_owned(),
            place,
            staff,
        })
    }

    /// Registers the system `oa`.
    pub async fn system(&self) -> Result<(), Failure> {
        self.staff
            .apply(&manifests::system(&self.code, "oa"))
            .await?;
        Ok(())
    }

    /// The manifest of a tenancy of the department.
    pub fn manifest(
        &self,
        name: &str,
        lease: &[(&str, &str)],
        namespaces: &[Share<'_>],
    ) -> Result<Value, Failure> {
        manifests::tenancy(&self.code, name, lease, namespaces)
    }

    /// Leases: registers the system, applies the tenancy, has the office approve it, and waits until it
    /// stands.
    pub async fn lease(&self, manifest: &Value) -> Result<Tenancy, Failure> {
        self.system().await?;
        self.staff.apply(manifest).await?;
        let name = manifest
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        self.approve(name, 1).await?;
        self.phase(name, Phase::Active).await
    }

    /// The approval of a tenancy's request, once it is there.
    pub async fn asked(&self, name: &str, request: u32) -> Result<Approval, Failure> {
        self.stage
            .inbox(SubjectOfDecision::Tenancy, name, request, Some(&self.place))
            .await
    }

    /// Has the office approve a tenancy's request.
    pub async fn approve(&self, name: &str, request: u32) -> Result<(), Failure> {
        let approval = self.asked(name, request).await?;
        self.stage.approve(User::Office, &approval).await
    }

    /// Waits until the tenancy is in a phase; a decrease waits for the next period.
    pub async fn phase(&self, name: &str, phase: Phase) -> Result<Tenancy, Failure> {
        let what = format!("tenancy {name} in phase {phase:?}");
        self.when(name, &what, |tenancy| {
            tenancy
                .status
                .as_ref()
                .is_some_and(|status| status.phase == phase)
        })
        .await
    }

    /// Waits until the tenancy is as `holds` says.
    pub async fn when(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&Tenancy) -> bool,
    ) -> Result<Tenancy, Failure> {
        self.stage
            .see(what, PERIODS, async || {
                let tenancy = self.staff.get::<Tenancy>(Some(&self.place), name).await?;
                if holds(&tenancy) {
                    Ok(tenancy)
                } else {
                    Err(format!("{:#?}", tenancy.status))
                }
            })
            .await
    }

    /// Waits until the tenancy is refused by a rule, and gives the sentence.
    pub async fn refused(&self, name: &str, rule: &str) -> Result<String, Failure> {
        let named = format!("rule {rule}:");
        let what = format!("tenancy {name} refused by {rule}");
        let tenancy = self
            .when(name, &what, |tenancy| {
                sentence(tenancy, types::REFUSED).contains(&named)
            })
            .await?;
        Ok(sentence(&tenancy, types::REFUSED))
    }

    /// Waits until a contribution is as `holds` says.
    pub async fn contribution(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&HardwareContribution) -> bool,
    ) -> Result<HardwareContribution, Failure> {
        self.stage
            .see(what, LONG, async || {
                let found = self
                    .staff
                    .get::<HardwareContribution>(Some(&self.place), name)
                    .await?;
                if holds(&found) {
                    Ok(found)
                } else {
                    Err(format!("{:#?}", found.status))
                }
            })
            .await
    }

    /// Waits until a contribution has a finding by a rule, and gives its message.
    pub async fn finding(&self, name: &str, rule: &str) -> Result<String, Failure> {
        let what = format!("contribution {name} with a finding by {rule}");
        let found = self
            .contribution(name, &what, |found| !messages(found, rule).is_empty())
            .await?;
        Ok(messages(&found, rule))
    }

    /// Registers the system `oa`, offers hardware and gives the uid of the contribution.
    pub async fn offer(&self, manifest: &Value) -> Result<String, Failure> {
        self.system().await?;
        self.staff.create(manifest).await?;
        let name = manifest
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let found = self
            .contribution(name, "the contribution", |_| true)
            .await?;
        Ok(found.metadata.uid.unwrap_or_default())
    }

    /// Has the accredited agency value one device of a contribution, in yuan.
    pub async fn appraised(
        &self,
        of: Contributed<'_>,
        serial: &str,
        value: &str,
    ) -> Result<(), Failure> {
        let name = format!("{}-1", of.name);
        let appraisal = manifests::appraisal(of, &name, &[(serial, value)])?;
        let agency = self.stage.user(User::Appraiser).await?;
        agency.create(&appraisal).await?;
        Ok(())
    }

    /// Has a server of a contribution join as a node of today, and the data centre sign for it.
    pub async fn received(&self, of: Contributed<'_>, serial: &str) -> Result<(), Failure> {
        let node = format!("node-{}", serial.to_lowercase());
        let machine = manifests::node(&node, serial, &format!("uuid-{serial}"));
        self.stage.user(User::Admin).await?.create(&machine).await?;
        let receipt = manifests::receipt(of, of.name, &[(serial, node.as_str())])?;
        let datacentre = self.stage.user(User::DataCentre).await?;
        datacentre.apply(&receipt).await?;
        Ok(())
    }

    /// Has finance approve the credit of a contribution, and waits until it is granted.
    pub async fn credited(&self, name: &str) -> Result<HardwareContribution, Failure> {
        let kind = SubjectOfDecision::HardwareContribution;
        self.stage
            .decide(User::SUN, kind, name, &self.place)
            .await?;
        self.contribution(name, "the credit", |found| {
            let status = found.status.as_ref();
            status.is_some_and(|status| status.phase == ContributionPhase::Credited)
        })
        .await
    }

    /// Has a tenancy looked at again: its object changes in a way that means nothing. Waits until the operator's log tells of
    /// another round over it.
    pub async fn look_again(&self, name: &str, round: u32) -> Result<(), Failure> {
        let object = format!(
            "Tenancy.v1alpha1.tenancy.leasehold.dev/{name}.{} ",
            self.place
        );
        let rounds = async || {
            let path = self.stage.operator.lock().await.log().to_owned();
            let log = fs::read_to_string(&path).map_err(|error| error.to_string())?;
            let told = |line: &&str| line.contains("reconcile") && line.contains(&object);
            let of_it = log.lines().filter(told);
            Ok::<usize, String>(of_it.count())
        };
        let before = rounds().await.map_err(Failure::Page)?;
        let (target, note) = (format!("tcy/{name}"), format!("example.dev/round={round}"));
        let annotate = ["annotate", &target, "-n", &self.place, &note, "--overwrite"];
        self.staff.kubectl(&annotate, "").await?.ok()?;
        let what = format!("another round over {object}");
        let again = self.stage.see(&what, LONG, async || {
            let now = rounds().await?;
            if now > before {
                Ok(())
            } else {
                Err(format!("{now} rounds"))
            }
        });
        again.await
    }

    /// Gives a tenancy back: the department asks, the office approves, and in the end nothing is left of it.
    pub async fn give_back(&self, name: &str) -> Result<Tenancy, Failure> {
        let words = [
            "release",
            name,
            "-n",
            &self.place,
            "--reason",
            "系统下线",
            "--yes",
        ];
        self.staff.leasehold(&words).await?.ok()?;
        let (kind, place) = (SubjectOfDecision::Release, Some(self.place.as_str()));
        let approval = self.stage.inbox(kind, name, 0, place).await?;
        self.stage.approve(User::Office, &approval).await?;
        self.phase(name, Phase::Released).await
    }
}

/// The message of a condition that holds; empty when it does not.
fn sentence(tenancy: &Tenancy, type_: &str) -> String {
    let conditions = tenancy.status.iter().flat_map(|status| &status.conditions);
    conditions
        .filter(|condition| condition.type_ == type_ && condition.status == "True")
        .map(|condition| condition.message.as_str())
        .collect::<Vec<_>>()
        .join("; ")
}

fn messages(contribution: &HardwareContribution, rule: &str) -> String {
    let findings = contribution
        .status
        .iter()
        .flat_map(|status| &status.findings);
    findings
        .filter(|finding| finding.rule == rule)
        .map(|finding| finding.message.as_str())
        .collect::<Vec<_>>()
        .join("; ")
}
