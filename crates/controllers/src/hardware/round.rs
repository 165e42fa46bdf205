//! One round of a contribution: what the ledger has is shown, what is open is assessed, claimed and put to finance.

use kube::ResourceExt;
use leasehold_api::{
    charging::{Approval, ApprovalSpec},
    names,
    platform::CloudPolicySpec,
    tenancy::{CreditStatus, RuleFinding},
};
use leasehold_kit::EventType;
use leasehold_ledger::{
    canonical::Digest,
    document::{Decision, DecisionDoc, LotDevice, normalise_serial, serial_claim},
    policy::Policy,
};
use leasehold_planner::{
    approval,
    hardware::{Assessment, Offer},
};

use super::{
    claim::{self, Claim},
    credit::{self, Credit, Grant},
    observe,
    phase::Facts,
};
use crate::{
    Context, Error,
    books::FINANCE,
    price_book::finance::{self, Answer},
    verdict::Verdict,
};

/// Kind of subject under which finance's decisions on contributions are recorded.
const SUBJECT_KIND: &str = "HardwareContribution";
/// How often a contribution is assessed anew when the ledger grew before its serials were claimed.
const ATTEMPTS: usize = 8;

/// What a round found out about a contribution.
#[derive(Default)]
pub struct Found {
    /// What its phase follows from.
    pub facts: Facts,
    /// Broken rules.
    pub findings: Vec<RuleFinding>,
    /// Name of finance's approval.
    pub approval: Option<String>,
    /// The credit, once granted.
    pub credit: Option<CreditStatus>,
    /// What the conditions say.
    pub verdict: Verdict,
}

impl Found {
    /// Nothing can be said before something else is there.
    pub fn waiting(sentence: String) -> Self {
        let mut found = Self::default();
        found.verdict.wait(sentence);
        found
    }

    /// The contribution as a whole breaks a rule.
    pub fn refuse(&mut self, rule: &str, message: String) {
        self.verdict.refuse(format!("rule {rule}: {message}"));
        self.findings.push(RuleFinding {
            rule: rule.to_owned(),
            serial: None,
            message,
        });
    }
}

/// What a round works with.
pub struct Round<'a> {
    /// The offer.
    pub offer: Offer,
    /// The policy as written.
    pub spec: CloudPolicySpec,
    /// The part of the policy that bills depend on.
    pub policy: Policy,
    /// Where it works.
    pub context: &'a Context,
}

impl Round<'_> {
    fn office(&self) -> String {
        names::office_namespace(&self.offer.department)
    }

    fn approval_name(&self) -> String {
        format!("hwc-{}-finance", self.offer.name)
    }

    /// What decisions on this very object are recorded under.
    fn subject(&self) -> String {
        format!("{}/{}", self.offer.id(), self.offer.uid)
    }

    /// What the ledger has of finance's decision on this very object.
    pub async fn recorded(&self) -> Result<Option<DecisionDoc>, Error> {
        self.context
            .books
            .decision(SUBJECT_KIND, &self.subject(), FINANCE)
            .await
    }

    /// A contribution that has its credit: shown, or taken back if the department wants that and nothing was used.
    pub async fn credited(&self, mut credit: Credit) -> Result<Found, Error> {
        if !backs(&self.offer, &credit.document.devices) {
            let mut found = Found::default();
            found.facts.refused = true;
            found.refuse(
                "H13",
                format!(
                    "asked credit for other devices under the name {}, allowed are the devices that were credited under it; offer them under another name",
                    self.offer.name
                ),
            );
            return Ok(found);
        }
        if credit.account.voided && !self.offer.spec.withdrawn {
            return Ok(self.offered_again());
        }
        if self.offer.spec.withdrawn {
            let (id, by) = (self.offer.id(), &self.offer.requested_by);
            credit = match credit::take_back(&id, by, self.context).await? {
                Some(after) => after,
                None => credit,
            };
        }
        let at = credit.document.at;
        let uid = &credit.document.approval_uid;
        let (office, name) = (self.office(), self.approval_name());
        finance::mark_recorded(&office, &name, uid, at, self.context).await?;
        Ok(self.told(&credit))
    }

    /// Devices under the name of a credit that was taken back. A lot's name is its own for all time, so the credit of
    /// these devices needs another one.
    fn offered_again(&self) -> Found {
        let mut found = Found::default();
        found.facts.refused = true;
        found.refuse(
            "H21",
            format!(
                "asked credit under the name {} again, allowed are names whose credit was never taken back; offer the devices under another name",
                self.offer.name
            ),
        );
        found
    }

    /// What the status says of a credit.
    fn told(&self, credit: &Credit) -> Found {
        let shown = credit::shown(credit, &self.policy);
        let withdrawn = self.offer.spec.withdrawn;
        let voided = credit.account.voided;
        let verdict = if voided {
            let message = format!("the credit of {} was taken back unused", shown.granted);
            Verdict::fine("Withdrawn", message)
        } else {
            let CreditStatus {
                granted,
                remaining,
                from,
                through,
                ..
            } = &shown;
            let message = format!(
                "{granted} granted, {remaining} left; counts from {from} through {through}"
            );
            Verdict::fine("Credited", message)
        };
        let mut found = Found {
            facts: Facts {
                credited: true,
                voided,
                withdrawn,
                ..Facts::default()
            },
            approval: Some(self.approval_name()),
            verdict,
            ..Found::default()
        };
        if withdrawn && !voided {
            found.refuse(
                "H08",
                format!(
                    "asked to withdraw, allowed while nothing of the credit was used or has expired; {} of {} is left and stays usable",
                    shown.remaining, shown.granted
                ),
            );
        }
        found.credit = Some(shown);
        found
    }

    /// A contribution on which the ledger has a decision without a credit.
    pub async fn decided_before(&self, decision: &DecisionDoc) -> Result<Found, Error> {
        let mut found = Found {
            facts: Facts {
                decision: Some(decision.decision),
                ..Facts::default()
            },
            approval: Some(self.approval_name()),
            ..Found::default()
        };
        match decision.decision {
            Decision::Rejected => found.verdict.refuse(format!(
                "{} said no: {}. Withdraw this contribution and offer the devices anew under another name",
                decision.decided_by, decision.reason
            )),
            Decision::Withdrawn => {
                found.verdict = Verdict::fine("Withdrawn", "the offer was taken back");
            }
            Decision::Approved => {
                return Err(Error::understand(
                    format!("the approval of contribution {}", self.offer.id()),
                    "it is recorded without its credit; restore the ledger from a backup",
                ));
            }
        }
        let uid = decision.approval_uid.as_deref().unwrap_or_default();
        let (office, name) = (self.office(), self.approval_name());
        finance::mark_recorded(&office, &name, uid, decision.at, self.context).await?;
        Ok(found)
    }

    /// The department takes the offer back before any credit. That is recorded, so that a late answer changes nothing,
    /// and its devices are free.
    pub async fn withdrawn(&self) -> Result<Found, Error> {
        let now = self.context.now();
        let (office, name) = (self.office(), self.approval_name());
        if self
            .context
            .world
            .approvals
            .get(Some(&office), &name)
            .is_some()
        {
            let decision = DecisionDoc {
                subject_kind: SUBJECT_KIND.to_owned(),
                subject: self.subject(),
                role: FINANCE.to_owned(),
                approval_uid: None,
                decision: Decision::Withdrawn,
                decided_by: self.offer.requested_by.clone(),
                order_no: String::new(),
                reason: "the department took the offer back".to_owned(),
                auto: false,
                amount_monthly: None,
                department: Some(self.offer.department.clone()),
                at: now,
            };
            self.context.books.ensure(&decision, now).await?;
            finance::take_back_undecided(&office, &name, self.context).await?;
        }
        let (id, by) = (self.offer.id(), &self.offer.requested_by);
        claim::free(&id, by, self.context.books.store(), now).await?;
        let mut found = Found {
            verdict: Verdict::fine("Withdrawn", "the offer was taken back before any credit"),
            ..Found::default()
        };
        found.facts.withdrawn = true;
        Ok(found)
    }

    /// A contribution that is still open: assessed, claimed, put to finance.
    pub async fn assessed(&self) -> Result<Found, Error> {
        for _ in 0..ATTEMPTS {
            // read before all else, so that a claim which came in between is noticed
            let store = self.context.books.store();
            let (head, _) = store.head().await?;
            let claims = claim::read(store, head).await?;
            let (offer, policy) = (&self.offer, &self.policy);
            let assessment = observe::assess(offer, &self.spec, policy, &claims, self.context)?;
            if assessment.refused || !assessment.ready() {
                return self.unready(&assessment).await;
            }
            let mut found = Found {
                findings: assessment.findings.clone(),
                ..Found::default()
            };
            let (devices, now) = (&assessment.accepted, self.context.now());
            match claim::claim(offer, devices, (head, &claims), store, now).await? {
                Claim::Held => {
                    found.facts.ready = true;
                    found.approval = Some(self.approval_name());
                    return self.ask(&assessment, found).await;
                }
                Claim::Taken(finding) => {
                    found.facts.refused = true;
                    found.verdict.refuse(sentence(&finding));
                    found.findings.push(finding);
                    return Ok(found);
                }
                Claim::Overtaken => {}
            }
        }
        Err(Error::understand(
            format!("the claims of contribution {}", self.offer.id()),
            "the ledger grew at every attempt to record them; it is tried again",
        ))
    }

    /// A contribution that breaks a rule or waits for something: said, and not put to finance.
    async fn unready(&self, assessment: &Assessment) -> Result<Found, Error> {
        let mut found = Found {
            findings: assessment.findings.clone(),
            ..Found::default()
        };
        found.facts.refused = assessment.refused;
        if assessment.refused {
            found
                .verdict
                .refused
                .extend(assessment.findings.iter().map(sentence));
        } else {
            found.verdict.waits.extend(waits(assessment));
        }
        self.take_question_back().await?;
        Ok(found)
    }

    /// A question to finance that does not stand any more is taken back, as long as nobody has decided.
    async fn take_question_back(&self) -> Result<(), Error> {
        finance::take_back_undecided(&self.office(), &self.approval_name(), self.context).await
    }

    /// Asks finance, or does what finance decided.
    async fn ask(&self, assessment: &Assessment, mut found: Found) -> Result<Found, Error> {
        let wanted = approval::hardware_approval(&self.offer, assessment, &self.spec)
            .map_err(|error| Error::understand("the approval to be written", error))?;
        match finance::ask(&wanted, self.context).await? {
            Answer::Waits => {
                found.verdict.wait(format!(
                    "credit of {} waits for finance: leasehold approve {} -n {}",
                    assessment.amount,
                    self.approval_name(),
                    self.office()
                ));
                Ok(found)
            }
            Answer::Decided(answer) => self.decided(assessment, &answer, found).await,
            Answer::Outdated(answer) => self.outdated(&wanted, &answer, found).await,
        }
    }

    /// Finance decided on exactly what holds now.
    async fn decided(
        &self,
        assessment: &Assessment,
        answer: &Approval,
        mut found: Found,
    ) -> Result<Found, Error> {
        if let Err(refusal) = finance::check(answer) {
            let sentence = refusal.to_string();
            self.context
                .kit
                .event(answer, EventType::Warning, "Refused", "Decide", &sentence)
                .await;
            finance::take_back(answer, self.context).await?;
            found.verdict.refuse(sentence);
            return Ok(found);
        }
        let Some(decision) = self.decision_on(answer) else {
            return Ok(found);
        };
        if decision.decision != Decision::Approved {
            let decision = self.context.books.ensure(&decision, decision.at).await?;
            return self.decided_before(&decision).await;
        }
        let Some((appraisal, receipt)) = digests(answer) else {
            return Err(Error::understand(
                format!("approval {}", answer.name_any()),
                "it names no appraisal or no receipt",
            ));
        };
        let grant = Grant {
            department: &self.offer.department,
            contribution: &self.offer.name,
            approval: answer,
            decision: &decision,
            amount: assessment.amount,
            devices: assessment
                .accepted
                .iter()
                .map(|device| LotDevice {
                    maker: device.maker.clone(),
                    serial: device.serial.clone(),
                    value: device.value,
                })
                .collect(),
            appraisal,
            receipt,
        };
        let credit = credit::grant(&grant, &self.policy, self.context).await?;
        let findings = std::mem::take(&mut found.findings);
        let mut credited = self.credited(credit).await?;
        credited.findings.extend(findings);
        Ok(credited)
    }

    /// Finance decided on something that does not hold any more, or on an earlier object of this name.
    async fn outdated(
        &self,
        wanted: &Approval,
        answer: &Approval,
        mut found: Found,
    ) -> Result<Found, Error> {
        let about = &answer.spec.subject;
        if about.uid != wanted.spec.subject.uid {
            let now = self.context.now();
            let subject = format!("{}/{}", self.offer.id(), about.uid);
            let department = Some(self.offer.department.clone());
            if let Some(decision) = finance::decision(answer, subject, department, now) {
                self.context.books.ensure(&decision, now).await?;
            }
            finance::take_back(answer, self.context).await?;
            found.verdict.wait("finance's decision on an earlier object of this name is set aside; finance is asked anew");
            return Ok(found);
        }
        let Some(decision) = self.decision_on(answer) else {
            return Ok(found);
        };
        if decision.decision != Decision::Approved {
            let decision = self.context.books.ensure(&decision, decision.at).await?;
            return self.decided_before(&decision).await;
        }
        let message = format!(
            "{} changed after finance's approval, allowed is to credit exactly what finance saw; withdraw this contribution and offer it anew",
            changed(&wanted.spec, &answer.spec)
        );
        finance::mark_refused(answer, &format!("rule H13: {message}"), self.context).await?;
        found.facts.ready = false;
        found.facts.refused = true;
        found.refuse("H13", message);
        Ok(found)
    }

    fn decision_on(&self, answer: &Approval) -> Option<DecisionDoc> {
        let department = Some(self.offer.department.clone());
        finance::decision(answer, self.subject(), department, self.context.now())
    }
}

/// Whether the offer holds all these devices, whatever their serials look like.
fn backs(offer: &Offer, devices: &[LotDevice]) -> bool {
    let read = |serial: &str| {
        normalise_serial(serial)
            .map(|normal| serial_claim(&normal))
            .ok()
    };
    devices.iter().all(|device| {
        offer.spec.devices.iter().any(|offered| {
            *offered.maker == *device.maker
                && read(&offered.serial)
                    .is_some_and(|serial| serial == serial_claim(&device.serial))
        })
    })
}

/// Digests of the appraisal and the receipt on which finance decided.
fn digests(answer: &Approval) -> Option<(Digest, Digest)> {
    let of = |kind: &str| {
        let evidence = answer
            .spec
            .evidence
            .iter()
            .find(|evidence| *evidence.kind == *kind)?;
        evidence.digest.parse::<Digest>().ok()
    };
    Some((of("Appraisal")?, of("HandoverReceipt")?))
}

/// What differs between what finance would be asked now and what it was asked.
fn changed(now: &ApprovalSpec, then: &ApprovalSpec) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (kind, name) in [
        ("Appraisal", "the appraisal"),
        ("HandoverReceipt", "the receipt"),
    ] {
        let of = |spec: &ApprovalSpec| {
            spec.evidence
                .iter()
                .find(|evidence| *evidence.kind == *kind)
                .cloned()
        };
        if of(now) != of(then) {
            names.push(name);
        }
    }
    if now.grants != then.grants {
        names.push("the amount or the terms");
    }
    if names.is_empty() {
        names.push("what is offered");
    }
    names.join(" and ")
}

/// A finding in one sentence.
fn sentence(finding: &RuleFinding) -> String {
    match &finding.serial {
        Some(serial) => format!(
            "rule {}: device {serial}: {}",
            finding.rule, finding.message
        ),
        None => format!("rule {}: {}", finding.rule, finding.message),
    }
}

/// What is missing, each in a sentence of its own; together with what is wrong with the proofs that are there.
fn waits(assessment: &Assessment) -> Vec<String> {
    let missing = assessment.waits.iter().map(|wait| {
        if wait.starts_with("SerialContested") {
            wait.clone()
        } else {
            format!("waits for {wait}")
        }
    });
    missing
        .chain(assessment.findings.iter().map(sentence))
        .collect()
}

#[cfg(test)]
mod tests;
