//! The whole way of one department: from a manifest to a bill that anybody can check. The manifests
//! are those of `examples/`, and every step is taken by the person whose it is.

#[cfg(test)]
mod whole_way {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::core::v1::{
        LimitRange, Namespace, PersistentVolumeClaim, Pod, ResourceQuota,
    };
    use k8s_openapi::api::networking::v1::NetworkPolicy;
    use k8s_openapi::api::rbac::v1::RoleBinding;
    use leasehold_api::charging::{
        BillingPeriod, PeriodPhase, Statement, StatementState, SubjectOfDecision,
    };
    use leasehold_api::tenancy::{ContributionPhase, Phase};
    use leasehold_e2e::arithmetic::fen;
    use leasehold_e2e::recount::{evidence, recount};
    use leasehold_e2e::{Office, PERIODS, Stage};
    use leasehold_ledger::money::{Unit, parse_quantity};
    use leasehold_ledger::verify::Report;
    use leasehold_testkit::manifests::{example, pod};
    use leasehold_testkit::{LONG, Ran, User, repository};

    const PROD: &str = "gov-office--prod";
    const TEST: &str = "gov-office--test";

    /// Applies the documents of an example as one user.
    async fn apply(stage: &Stage, user: User<'_>, file: &str, uid: &str) {
        let session = stage.user(user).await.unwrap();
        for manifest in example(file, uid).unwrap() {
            // an appraiser may file, not change; everybody else applies
            if user == User::Appraiser {
                session.create(&manifest).await.unwrap();
            } else {
                session.apply(&manifest).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_department_leases_pays_half_with_its_hardware_and_everybody_can_check_the_bill() {
        let stage = Stage::shared().await.unwrap();
        apply(stage, User::Office, "04-department.yaml", "").await;
        let office = Office::open(stage, "gov-office").await.unwrap();
        request(&office).await;
        office.approve("oa", 1).await.unwrap();
        office.phase("oa", Phase::Active).await.unwrap();
        provisioned(&office).await;
        workload(&office).await;
        credit(&office).await;
        let statement = full_period(&office).await;
        lines_are_the_month_prices(&statement);
        half_is_paid_by_credit(&statement);
        period_is_closed_with_the_same_totals(stage, &statement).await;
        department_reads_and_understands(&office, &statement).await;
        finance_exports(stage, &statement).await;
        anybody_verifies(stage, &statement).await;
        anybody_recounts(&office).await;
    }

    /// Nothing stands before the office has decided, but the price is known.
    async fn request(office: &Office) {
        apply(
            office.stage,
            User::Department("gov-office"),
            "05-tenancy.yaml",
            "",
        )
        .await;
        let approval = office.asked("oa", 1).await.unwrap();
        assert_eq!(&*approval.spec.subject.requested_by, "zhang@gov-office");
        // 32 × 46.00 + 64 × 17.00 + 2048 × 0.70 = 1472.00 + 1088.00 + 1433.60
        assert_eq!(&*approval.spec.amounts.unwrap().monthly, "3993.60");
        assert!(
            approval.spec.snapshot.contains("vcpu-x86"),
            "{}",
            approval.spec.snapshot
        );
        let tenancy = office
            .when("oa", "a quoted request", |tenancy| {
                tenancy
                    .status
                    .as_ref()
                    .is_some_and(|status| status.quotation.is_some())
            })
            .await
            .unwrap();
        let status = tenancy.status.unwrap();
        assert_eq!(status.phase, Phase::Requested);
        assert_eq!(status.quotation.unwrap().monthly, "3993.60");
        assert_eq!(status.request.unwrap().waiting_for, ["office"]);
        let admin = office.stage.user(User::Admin).await.unwrap();
        assert!(admin.find::<Namespace>(None, PROD).await.unwrap().is_none());
    }

    /// Everything that was leased is there, and the department can see it.
    async fn provisioned(office: &Office) {
        let staff = &office.staff;
        let namespace = staff.get::<Namespace>(None, PROD).await.unwrap();
        let labels = namespace.metadata.labels.unwrap();
        assert_eq!(labels["leasehold.dev/department"], "gov-office");
        assert_eq!(labels["leasehold.dev/zone"], "gov-extranet");
        assert_eq!(labels["leasehold.dev/protection-level"], "3");
        assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
        quota(office, PROD, "24", "48Gi", "2Ti").await;
        quota(office, TEST, "8", "16Gi", "0").await;
        for place in [PROD, TEST] {
            staff
                .get::<LimitRange>(Some(place), "leasehold")
                .await
                .unwrap();
            let policies = staff.list::<NetworkPolicy>(Some(place)).await.unwrap();
            let names: BTreeSet<String> = policies
                .into_iter()
                .filter_map(|policy| policy.metadata.name)
                .collect();
            let expected = [
                "allow-dns",
                "allow-egress-gateway",
                "allow-same-system",
                "default-deny",
            ];
            assert_eq!(names, BTreeSet::from(expected.map(str::to_owned)));
            let binding = staff
                .get::<RoleBinding>(Some(place), "leasehold-admins")
                .await
                .unwrap();
            assert_eq!(binding.role_ref.name, "leasehold-tenant-admin");
            assert_eq!(binding.subjects.unwrap()[0].name, "gov-office-admins");
        }
        let claim = staff
            .get::<PersistentVolumeClaim>(Some(PROD), "files")
            .await
            .unwrap();
        let spec = claim.spec.unwrap();
        assert_eq!(spec.storage_class_name.as_deref(), Some("ssd"));
        let size = spec.resources.unwrap().requests.unwrap()["storage"]
            .0
            .clone();
        assert_eq!(parse_quantity(&size, Unit::GiB).unwrap(), 1 << 40);
    }

    async fn quota(office: &Office, place: &str, cpu: &str, memory: &str, ssd: &str) {
        let quota = office
            .staff
            .get::<ResourceQuota>(Some(place), "leasehold")
            .await
            .unwrap();
        let hard = quota.spec.unwrap().hard.unwrap();
        let expected = [
            ("requests.cpu", cpu, Unit::Core),
            ("limits.cpu", cpu, Unit::Core),
            ("requests.memory", memory, Unit::GiB),
            ("limits.memory", memory, Unit::GiB),
            (
                "ssd.storageclass.storage.k8s.io/requests.storage",
                ssd,
                Unit::GiB,
            ),
            ("services.loadbalancers", "0", Unit::Count),
            ("services.nodeports", "0", Unit::Count),
        ];
        for (key, amount, unit) in expected {
            let found = parse_quantity(&hard[key].0, unit).unwrap();
            assert_eq!(
                found,
                parse_quantity(amount, unit).unwrap(),
                "{key} in {place}"
            );
        }
    }

    /// The department's pods run; what is beyond the lease is refused with the numbers.
    async fn workload(office: &Office) {
        apply(
            office.stage,
            User::Department("gov-office"),
            "09-workload.yaml",
            "",
        )
        .await;
        let staff = &office.staff;
        office
            .stage
            .see("three running pods", LONG, async || {
                let web = staff.get::<Deployment>(Some(PROD), "web").await?;
                let ready = web.status.as_ref().and_then(|status| status.ready_replicas);
                if ready == Some(3) {
                    Ok(())
                } else {
                    Err(format!("{:?}", web.status))
                }
            })
            .await
            .unwrap();
        let pods = staff.list::<Pod>(Some(PROD)).await.unwrap();
        assert!(pods.iter().all(|pod| {
            pod.status
                .as_ref()
                .and_then(|status| status.phase.as_deref())
                == Some("Running")
        }));
        // 3 × 2 of 24 cores are used: 18 are left
        let greedy = pod(PROD, "greedy", "19", "1Gi", None);
        staff
            .try_create(&greedy)
            .await
            .unwrap()
            .refused("exceeded quota: leasehold")
            .unwrap();
        let fitting = pod(PROD, "fitting", "18", "1Gi", None);
        staff.create(&fitting).await.unwrap();
        let other = pod("default", "elsewhere", "1", "1Gi", None);
        staff
            .try_create(&other)
            .await
            .unwrap()
            .refused("forbidden")
            .unwrap();
    }

    /// The department's server becomes credit: offered, valued, received, decided.
    async fn credit(office: &Office) {
        let stage = office.stage;
        let offer = example("06-hardware.yaml", "").unwrap();
        let uid = office.offer(&offer[0]).await.unwrap();
        apply(stage, User::Appraiser, "07-appraisal.yaml", &uid).await;
        apply(stage, User::DataCentre, "08-receipt.yaml", &uid).await;
        let kind = SubjectOfDecision::HardwareContribution;
        let approval = stage
            .decide(User::SUN, kind, "servers-2024", &office.place)
            .await
            .unwrap();
        let grants = approval.spec.grants.unwrap();
        assert_eq!(
            (&*grants.amount, grants.devices, grants.cap_percent),
            ("27472.22", 1, 50)
        );
        let evidence: BTreeSet<String> = approval
            .spec
            .evidence
            .iter()
            .map(|proof| proof.kind.to_string())
            .collect();
        let expected = ["Appraisal", "HandoverReceipt"].map(str::to_owned);
        assert_eq!(evidence, BTreeSet::from(expected));
        let found = office
            .contribution("servers-2024", "the credit", |found| {
                let phase = found.status.as_ref().map(|status| status.phase);
                phase == Some(ContributionPhase::Credited)
            })
            .await
            .unwrap();
        assert_eq!(found.status.unwrap().credit.unwrap().granted, "27472.22");
    }

    /// The first period for which lease and credit stood from its beginning to its end.
    async fn full_period(office: &Office) -> Statement {
        office
            .stage
            .see("a final statement with credit", PERIODS, async || {
                let all = office.staff.list::<Statement>(Some(&office.place)).await;
                let mut all = all.map_err(|failure| format!("{failure:?}"))?;
                all.sort_by(|a, b| a.spec.period.start.cmp(&b.spec.period.start));
                let full = |statement: &&Statement| {
                    let spec = &statement.spec;
                    spec.state == StatementState::Final && !spec.credits.is_empty()
                };
                all.iter().find(full).cloned().ok_or_else(|| {
                    let states = all.iter().map(|found| {
                        format!(
                            "{} {:?} {:?}",
                            found.spec.number, found.spec.state, found.spec.totals
                        )
                    });
                    states.collect::<Vec<_>>().join("\n")
                })
            })
            .await
            .unwrap()
    }

    fn lines_are_the_month_prices(statement: &Statement) {
        let lines: BTreeMap<&str, (&str, &str, &str)> = statement
            .spec
            .lines
            .iter()
            .map(|line| {
                let figures = (&*line.quantity, &*line.unit_price, &*line.gross);
                (line.item.as_str(), figures)
            })
            .collect();
        let expected = BTreeMap::from([
            ("vcpu-x86", ("32.0", "46.00", "1472.00")),
            ("memory", ("64.0", "17.00", "1088.00")),
            ("block-ssd", ("2048.0", "0.70", "1433.60")),
        ]);
        assert_eq!(lines, expected);
        for line in &statement.spec.lines {
            assert_eq!(
                (line.tenancy.as_str(), line.budget.as_str()),
                ("oa", "30227")
            );
            assert_eq!(line.segments.len(), 1, "{:?}", line.segments);
            assert!(!line.estimated);
        }
        assert!(statement.spec.period.rehearsal);
        assert!(
            statement.spec.number.starts_with("HS-")
                && statement.spec.number.ends_with("-gov-office")
        );
        assert_eq!(statement.spec.department.display_name, "市政府办");
    }

    fn half_is_paid_by_credit(statement: &Statement) {
        let totals = &statement.spec.totals;
        // the lot pays at most 50 % of 3993.60
        let expected = ("3993.60", "1996.80", "0.00", "1996.80");
        let found = (
            &*totals.gross,
            &*totals.offset,
            &*totals.adjustments,
            &*totals.net,
        );
        assert_eq!(found, expected);
        let credit = &statement.spec.credits[0];
        assert_eq!(credit.opening, "27472.22");
        assert_eq!(credit.applied, "1996.80");
        assert_eq!(credit.closing, "25475.42");
    }

    async fn period_is_closed_with_the_same_totals(stage: &Stage, statement: &Statement) {
        let finance = stage.user(User::QIAN).await.unwrap();
        let name = &statement.spec.period.name;
        let status = stage
            .see("the closed period", LONG, async || {
                let found = finance.get::<BillingPeriod>(None, name).await?;
                let status = found.status.unwrap_or_default();
                if status.phase == PeriodPhase::Closed {
                    Ok(status)
                } else {
                    Err(format!("{status:?}"))
                }
            })
            .await
            .unwrap();
        assert!(status.rehearsal);
        assert_eq!(status.statements, Some(1));
        assert_eq!(status.totals.unwrap(), statement.spec.totals);
        // whoever keeps the statement is a witness to the ledger
        assert!(
            statement
                .spec
                .chain
                .as_ref()
                .unwrap()
                .head
                .starts_with("sha256:")
        );
    }

    async fn department_reads_and_understands(office: &Office, statement: &Statement) {
        let (period, place) = (statement.spec.period.name.as_str(), office.place.as_str());
        let page = office
            .staff
            .leasehold(&["statement", "-n", place, "--period", period, "-o", "html"])
            .await
            .unwrap()
            .ok()
            .unwrap();
        for text in [statement.spec.number.as_str(), "市政府办", "1996.80"] {
            assert!(page.stdout.contains(text), "{text} is not on the page");
        }
        let line = statement
            .spec
            .lines
            .iter()
            .find(|line| line.item == "vcpu-x86")
            .unwrap();
        let explained = office
            .staff
            .leasehold(&["explain", &line.id, "--period", period, "-n", place])
            .await
            .unwrap()
            .ok()
            .unwrap();
        for text in ["46.00", "1472.00"] {
            assert!(explained.stdout.contains(text), "{}", explained.stdout);
        }
    }

    /// From the objects with finance's own rights, and from a copy of the ledger: the same bytes.
    async fn finance_exports(stage: &Stage, statement: &Statement) {
        let folder = stage.rig.scratch("exports").unwrap();
        let copy = stage
            .operator
            .lock()
            .await
            .copy_ledger(&folder.join("copy"))
            .unwrap();
        let finance = stage.user(User::SUN).await.unwrap();
        let (seen, read) = (folder.join("cluster.csv"), folder.join("ledger.csv"));
        let export = [
            "export",
            "focus",
            "--period",
            &statement.spec.period.name,
            "-f",
        ];
        for (file, db) in [(&seen, None), (&read, Some(&copy))] {
            let (file, db) = (text(file), db.map(|path| text(path)));
            let mut arguments = export.to_vec();
            arguments.push(&file);
            if let Some(db) = &db {
                arguments.extend(["--db", db.as_str()]);
            }
            finance.leasehold(&arguments).await.unwrap().ok().unwrap();
        }
        let bytes = fs::read(&seen).unwrap();
        assert!(!bytes.is_empty());
        assert!(
            bytes == fs::read(&read).unwrap(),
            "{} and {} differ",
            text(&seen),
            text(&read)
        );
        tokio::task::spawn_blocking(move || validate(&seen))
            .await
            .unwrap();
    }

    /// Runs the validators of FOCUS that are not ours.
    fn validate(file: &Path) {
        let python = std::env::var_os("LEASEHOLD_FOCUS_PYTHON").expect(
            "LEASEHOLD_FOCUS_PYTHON names the Python with the FOCUS validators; \
             `cargo xtask test` makes it and sets this",
        );
        let gate = repository().join("tests").join("focus").join("gate.py");
        let ran = Command::new(python).arg(gate).arg(file).output().unwrap();
        let told = format!(
            "{}\n{}",
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr)
        );
        assert!(ran.status.success(), "{told}");
    }

    /// The ledger, and a file of evidence that needs nothing else; and a change in it is found.
    async fn anybody_verifies(stage: &Stage, statement: &Statement) {
        let auditor = stage.user(User::Auditor).await.unwrap();
        let folder = stage.rig.scratch("evidence").unwrap();
        let copy = text(&stage.operator.lock().await.copy_ledger(&folder).unwrap());
        let head = statement.spec.chain.as_ref().unwrap().head.clone();
        let whole = ["verify", "--db", &copy, "--head", &head, "-o", "json"];
        let report = auditor.leasehold(&whole).await.unwrap().ok().unwrap();
        let report: Report = report.json().unwrap();
        let period = &statement.spec.period.name;
        assert!(
            report.periods.iter().any(|checked| checked.name == *period),
            "{report:?}"
        );
        assert_eq!(report.finding, None);

        let file = folder.join("evidence.jsonl");
        let name = text(&file);
        let evidence = ["evidence", "--period", period, "--db", &copy, "-f", &name];
        auditor.leasehold(&evidence).await.unwrap().ok().unwrap();
        auditor
            .leasehold(&["verify", &name])
            .await
            .unwrap()
            .ok()
            .unwrap();

        let (forged, row) = forge(&fs::read_to_string(&file).unwrap());
        fs::write(&file, forged).unwrap();
        let found: Ran = auditor
            .leasehold(&["verify", &name, "-o", "json"])
            .await
            .unwrap();
        let report: Report = found.with_code(2).unwrap().json().unwrap();
        assert_eq!(report.finding.unwrap().seq, row);
    }

    /// Every closed statement again, from the recorded times and by other arithmetic.
    async fn anybody_recounts(office: &Office) {
        let all = office.staff.list::<Statement>(Some(&office.place)).await;
        let mut closed = all.unwrap();
        closed.retain(|statement| statement.spec.state == StatementState::Final);
        let evidence = evidence(office.stage, "recount", &office.code)
            .await
            .unwrap();
        for statement in &closed {
            recount(statement, &evidence.intervals).unwrap();
            let gross = fen(&statement.spec.totals.gross).unwrap();
            for credit in &statement.spec.credits {
                // the only lot: half of all lines, rounded down, as long as it lasts
                let half = fen(&credit.opening).unwrap().min(gross / 2);
                assert_eq!(fen(&credit.applied), Some(half), "{credit:?}");
            }
        }
        let mut credits = closed.iter().flat_map(|found| &found.spec.credits);
        assert!(credits.next().is_some(), "no statement with credit");
    }

    /// Changes one digit of an amount, and says in which row.
    fn forge(evidence: &str) -> (String, u64) {
        let at = evidence.find("1472.00").unwrap();
        let line = evidence[..at].rsplit('\n').next().unwrap().len();
        let row = evidence[at - line..].lines().next().unwrap();
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        let forged = format!("{}1473.00{}", &evidence[..at], &evidence[at + 7..]);
        (forged, row["seq"].as_u64().unwrap())
    }

    fn text(path: &Path) -> String {
        path.display().to_string()
    }
}
