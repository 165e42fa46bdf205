//! How the scene is laid: two departments that lease the same, namespaces that are none of theirs,
//! one that is on its way out, and what people and operator have written so far.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, ServiceAccount};
use leasehold_api::charging::{BillingPeriod, Statement, SubjectOfDecision};
use leasehold_api::tenancy::Department;
use leasehold_e2e::person::said;
use leasehold_e2e::{Office, Stage};
use leasehold_testkit::manifests::{self, Contributed, Share};
use leasehold_testkit::{Failure, LONG, NAMESPACE, Rig, Session, User, eventually, snapshots};
use serde_json::{Value, json};

use crate::cells::{ABOVE, CODE, OTHER, month};
use crate::crowd::Crowd;
use crate::policies::{Piece, bindings};
use crate::table::Ground;

/// What a tenancy leases, and what each of its two namespaces gets.
const LEASED: [(&str, &str); 3] = [
    ("vcpu-x86", "8"),
    ("memory", "16Gi"),
    ("block-ssd", "100Gi"),
];
const HALF: [(&str, &str); 3] = [("vcpu-x86", "4"), ("memory", "8Gi"), ("block-ssd", "50Gi")];
/// The label of what leasehold manages.
const MANAGED: (&str, &str) = ("leasehold.dev/managed-by", "leasehold");
/// In whose name the administrator makes what a job counts.
const AS_JOBS: [&str; 2] = [
    "--as=system:serviceaccount:kube-system:job-controller",
    "--as-group=system:masters",
];
/// A tenancy that nobody asked for by name, because nothing was stamped when it was made.
const UNSTAMPED: &str = "unstamped";
/// The bindings by which whoever asks for a tenancy is stamped.
const STAMPS: [&str; 2] = [
    "leasehold-n06-stamp-requested-by",
    "leasehold-n06-requested-by",
];

/// Lays the scene, with the operator running.
pub async fn lay(ground: &Ground) -> Result<(&'static Stage, Crowd), String> {
    let stage = Stage::bare().await.map_err(|f| said(&f))?;
    let peopled = Box::pin(people(stage, ground)).await;
    peopled.map_err(|failure| said(&failure))?;
    let crowd = Box::pin(Crowd::gather(stage.rig, ground)).await?;
    Box::pin(unstamped(stage, &crowd)).await?;
    Ok((stage, crowd))
}

async fn people(stage: &'static Stage, ground: &Ground) -> Result<(), Failure> {
    let mut policy = Stage::policy()?;
    // one period for the whole campaign, so that nothing moves by itself
    if let Some(spec) = policy.get_mut("spec") {
        spec["period"] = json!({"kind": "Month"});
    }
    stage.furnish(&policy).await?;
    stage.office(ABOVE, "市政府").await?;
    for (code, name) in [(CODE, "督查室"), (OTHER, "信访局")] {
        let mut department = manifests::department(code, name);
        department["spec"]["domains"] = json!([domain(code)]);
        if code == CODE {
            department["spec"]["parent"] = json!(ABOVE);
        }
        stage.user(User::Office).await?.apply(&department).await?;
        let office = Office::open(stage, code).await?;
        Box::pin(lease(&office)).await?;
        Box::pin(offer(&office)).await?;
        workloads(&office, ground).await?;
    }
    overseen(stage).await?;
    orders(stage, ground).await?;
    next_prices(stage, ground).await?;
    second_words(stage, ground).await?;
    surroundings(stage, ground).await?;
    documents(stage).await
}

/// Waits until those above see the leases of the attackers.
async fn overseen(stage: &'static Stage) -> Result<(), Failure> {
    let overseer = stage.user(User::Department(ABOVE)).await?;
    let place = manifests::office(CODE);
    let overseen = stage.see("the rights of those above", LONG, async || {
        let words = ["get", "tenancies", "-n", place.as_str()];
        let ran = overseer
            .kubectl(&words, "")
            .await
            .map_err(|failure| said(&failure))?;
        if ran.is_ok() {
            Ok(())
        } else {
            Err(format!("{ran:?}"))
        }
    });
    overseen.await
}

/// A lease of two namespaces with a named volume and a reader, and another that nobody has decided.
async fn lease(office: &Office) -> Result<(), Failure> {
    let shares: [Share<'_>; 2] = [("prod", &HALF), ("test", &HALF)];
    let mut manifest = office.manifest("oa", &LEASED, &shares)?;
    if let Some(namespace) = manifest.pointer_mut("/spec/namespaces/0") {
        namespace["volumes"] = json!([{"name": "files", "item": "block-ssd", "size": "10Gi"}]);
    }
    let members = manifest.pointer_mut("/spec/members");
    if let Some(members) = members.and_then(Value::as_array_mut) {
        members.push(json!({"role": "viewer", "user": format!("liu@{}", office.code)}));
    }
    office.lease(&manifest).await?;
    let staff = &office.staff;
    let place = format!("{}--prod", office.code);
    let furnished = office.stage.see("the namespace furnished", LONG, async || {
        let place = Some(place.as_str());
        staff.get::<PersistentVolumeClaim>(place, "files").await?;
        // pods are refused for the want of it before any rule is asked
        staff.get::<ServiceAccount>(place, "default").await?;
        Ok(())
    });
    furnished.await?;
    let system = manifests::system(&office.code, "mail");
    staff.apply(&system).await?;
    let mut wanted = office.manifest("mail", &LEASED, &[("mail", &HALF)])?;
    if let Some(spec) = wanted.get_mut("spec") {
        spec["system"] = json!("mail");
    }
    staff.apply(&wanted).await?;
    office.asked("mail", 1).await?;
    Ok(())
}

/// A server with every proof, of which finance has not decided the credit.
async fn offer(office: &Office) -> Result<(), Failure> {
    let code = office.code.as_str();
    let serial = format!("SN-{}-1", code.to_uppercase());
    let offered = manifests::contribution(code, "servers", &[serial.as_str()]);
    let uid = office.offer(&offered).await?;
    let of = Contributed {
        code,
        name: "servers",
        uid: &uid,
    };
    office.appraised(of, &serial, "27472.22").await?;
    office.received(of, &serial).await?;
    let (kind, place) = (
        SubjectOfDecision::HardwareContribution,
        Some(office.place.as_str()),
    );
    office.stage.inbox(kind, "servers", 1, place).await?;
    Ok(())
}

/// What runs in a tenancy.
async fn workloads(office: &Office, ground: &Ground) -> Result<(), Failure> {
    let place = format!("{}--prod", office.code);
    let kinds = [
        ("pod", "web"),
        ("service", "web"),
        ("claim", "scratch"),
        ("ingress", "web"),
    ];
    for (kind, name) in kinds {
        let mut manifest = object(ground, kind, json!({"name": name, "namespace": place}));
        if let Some(host) = manifest.pointer_mut("/spec/rules/0/host") {
            *host = json!(format!("oa.{}", domain(&office.code)));
        }
        office.staff.create(&manifest).await?;
    }
    counted(office, ground, &place).await
}

/// A pod that a job counts, of an owner of a kind that is not there: neither the garbage collector
/// nor the job controller looks at it.
async fn counted(office: &Office, ground: &Ground, place: &str) -> Result<(), Failure> {
    let metadata = json!({
        "name": "counted", "namespace": place, "finalizers": ["batch.kubernetes.io/job-tracking"],
        "ownerReferences": [{
            "apiVersion": "example.com/v1", "kind": "Keeper", "name": "first",
            "uid": "00000000-0000-0000-0000-000000000001", "controller": true,
        }],
    });
    let manifest = object(ground, "pod", metadata).to_string();
    let [user, group] = AS_JOBS;
    let admin = office.stage.user(User::Admin).await?;
    let words = ["create", user, group, "-f", "-"];
    admin.kubectl(&words, &manifest).await?.ok()?;
    Ok(())
}

/// The domain of a department.
fn domain(code: &str) -> String {
    format!("{code}.example.com")
}

/// An order of the office in each department, of a tenancy that nobody has.
async fn orders(stage: &Stage, ground: &Ground) -> Result<(), Failure> {
    let office = stage.user(User::Office).await?;
    for code in [CODE, OTHER] {
        let metadata = json!({"name": "sealed", "namespace": manifests::office(code)});
        office
            .create(&object(ground, "suspension", metadata))
            .await?;
    }
    Ok(())
}

/// Prices that one person of finance loaded and no other has published.
async fn next_prices(stage: &Stage, ground: &Ground) -> Result<(), Failure> {
    let book = object(ground, "book", json!({"name": "next"}));
    stage.user(User::SUN).await?.create(&book).await?;
    let kind = SubjectOfDecision::PriceBook;
    stage.inbox(kind, "next", 1, Some(NAMESPACE)).await?;
    Ok(())
}

/// Questions to finance about requests for which somebody of finance has given the office's word as well.
async fn second_words(stage: &Stage, ground: &Ground) -> Result<(), Failure> {
    let operator = stage.rig.service_account().await?;
    for code in [CODE, OTHER] {
        let metadata = json!({"name": "paid-1-funds", "namespace": manifests::office(code)});
        let mut question = object(ground, "approval", metadata);
        question["spec"]["role"] = json!("finance");
        question["spec"]["notBy"] = json!("sun@finance");
        operator.create(&question).await?;
    }
    Ok(())
}

/// What is not a tenancy's: a namespace of others, marked objects in it, classes of the cluster, and
/// a namespace that does not get away.
async fn surroundings(stage: &Stage, ground: &Ground) -> Result<(), Failure> {
    let admin = stage.user(User::Admin).await?;
    let operator = stage.rig.service_account().await?;
    let (plain, leaving) = ("unmanaged", "attacker--leaving");
    let foreign = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": plain}});
    admin.create(&foreign).await?;
    let (label, value) = MANAGED;
    let labels = json!({
        (label): value, "leasehold.dev/department": CODE, "leasehold.dev/namespace-role": "none",
    });
    for kind in ["quota", "limits"] {
        let metadata = json!({"name": "labelled", "namespace": plain, "labels": labels});
        operator.create(&object(ground, kind, metadata)).await?;
    }
    let labels = json!({
        (label): value, "leasehold.dev/department": CODE,
        "leasehold.dev/namespace-role": "tenancy",
        "pod-security.kubernetes.io/enforce": "restricted",
    });
    let leased =
        |metadata: Value| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
    let gone = json!({"name": leaving, "labels": labels});
    operator.create(&leased(gone)).await?;
    // an owner that is there, so that the garbage collector leaves it alone
    let department = admin.find::<Department>(None, CODE).await?;
    let uid = department.and_then(|department| department.metadata.uid);
    let owned = json!({"name": "attacker--owned", "labels": labels, "ownerReferences": [{
        "apiVersion": "tenancy.leasehold.dev/v1alpha1", "kind": "Department", "name": CODE, "uid": uid,
    }]});
    operator.create(&leased(owned)).await?;
    // nobody else may put a finalizer on anything there
    let held = json!({"name": "held", "namespace": leaving, "finalizers": ["example.com/held"]});
    operator.create(&object(ground, "quota", held)).await?;
    for manifest in classes() {
        admin.create(&manifest).await?;
    }
    let kinds = kept_snapshots(stage.rig, &admin, &operator);
    kinds.await?;
    kept_data(&admin, &operator, ground).await?;
    admin.create(&operations()).await?;
    let gone = ["delete", "namespace", leaving, "--wait=false"];
    operator.kubectl(&gone, "").await?.ok()?;
    Ok(())
}

/// The kinds of the snapshot controller, and in each department the snapshot that the operator makes before a volume goes.
async fn kept_snapshots(rig: &Rig, admin: &Session, operator: &Session) -> Result<(), Failure> {
    snapshots::install(rig, admin).await?;
    for code in [CODE, OTHER] {
        let (label, value) = MANAGED;
        let place = format!("{code}--prod");
        let mut wish = snapshots::wish(&place, "leasehold-files", "files");
        wish["metadata"]["labels"] = json!({
            (label): value, "leasehold.dev/department": code, "leasehold.dev/tenancy": "oa",
        });
        operator.create(&wish).await?;
    }
    Ok(())
}

/// What is kept of a tenancy of the attacked department that has ended: a volume, and the snapshot of another.
async fn kept_data(admin: &Session, operator: &Session, ground: &Ground) -> Result<(), Failure> {
    let contents = "volumesnapshotcontents.snapshot.storage.k8s.io";
    let kept = [
        ("volume", "pv", "pv-of-victim", "reclaim-policy", "Delete"),
        (
            "content",
            contents,
            "content-of-victim",
            "retained-claim",
            "victim--prod/gone",
        ),
    ];
    let (label, value) = MANAGED;
    for (kind, plural, name, was, before) in kept {
        admin
            .create(&object(ground, kind, json!({"name": name})))
            .await?;
        let was = format!("leasehold.dev/{was}");
        let marked = json!({"metadata": {
            "labels": {
                (label): value, "leasehold.dev/department": OTHER, "leasehold.dev/tenancy": "oa",
                "leasehold.dev/incarnation": "1",
            },
            "annotations": {"leasehold.dev/retained-until": "2027-01-31", (was): before},
        }});
        let target = format!("{plural}/{name}");
        operator.try_patch(&target, &[], &marked).await?.ok()?;
    }
    Ok(())
}

/// Classes of the cluster that a tenant could name.
fn classes() -> [Value; 3] {
    [
        json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": {"name": "highest"}, "value": 1_000_000,
        }),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": "foreign"}, "spec": {"controller": "example.com/foreign"},
        }),
        json!({
            "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass",
            "metadata": {"name": "other"}, "handler": "other",
        }),
    ]
}

/// Who runs the cluster holds every right by a role, and is not of the group that may everything
/// anyway.
fn operations() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "operations"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin",
        },
        "subjects": [{
            "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "ops@idc",
        }],
    })
}

/// Waits for the month's period and for a statement of each department.
async fn documents(stage: &Stage) -> Result<(), Failure> {
    let auditor = stage.user(User::Auditor).await?;
    let drafts = stage.see("a period and its drafts", LONG, async || {
        let month = month()?;
        auditor.get::<BillingPeriod>(None, &month).await?;
        for code in [CODE, OTHER] {
            let place = manifests::office(code);
            auditor.get::<Statement>(Some(&place), &month).await?;
        }
        Ok(())
    });
    drafts.await
}

/// An object of the tables with its metadata.
fn object(ground: &Ground, kind: &str, metadata: Value) -> Value {
    let mut object = ground.objects.get(kind).cloned().unwrap_or_default();
    object["metadata"] = metadata;
    object
}

/// Takes the stamps away for a while and has a tenancy made meanwhile.
async fn unstamped(stage: &Stage, crowd: &Crowd) -> Result<(), String> {
    let all = bindings(crowd).await?;
    let stamps = all
        .into_iter()
        .filter(|one| STAMPS.contains(&one.name.as_str()));
    let stamps: Vec<Piece> = stamps.map(Piece::Binding).collect();
    if stamps.len() != STAMPS.len() {
        return Err(format!("only {} of {STAMPS:?} are there", stamps.len()));
    }
    for stamp in &stamps {
        stamp.take(crowd).await?;
    }
    let staff = stage.user(User::Department(CODE)).await;
    let staff = staff.map_err(|failure| said(&failure))?;
    let made = eventually("a tenancy that nobody stamped", LONG, async || {
        let manifest = manifests::tenancy(CODE, UNSTAMPED, &LEASED, &[("more", &HALF)]);
        let manifest = manifest.map_err(|failure| said(&failure))?;
        let show = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
        let asked = staff.kubectl(&show, &manifest.to_string()).await;
        let asked = asked.map_err(|failure| said(&failure))?;
        // both bindings must be out of force: one writes the stamp, the other asks for it
        if !asked.is_ok() || asked.stdout.contains("requested-by") {
            return Err(format!("{asked:?}"));
        }
        let made = staff.create(&manifest).await;
        made.map(drop).map_err(|failure| said(&failure))
    });
    made.await.map_err(|failure| said(&failure))?;
    for stamp in &stamps {
        stamp.give_back(crowd).await?;
    }
    stamped_again(&staff)
        .await
        .map_err(|failure| said(&failure))
}

/// Waits until both stamps are in force again: the one that writes and the one that asks for it.
async fn stamped_again(staff: &Session) -> Result<(), Failure> {
    let manifest = manifests::tenancy(CODE, "stamped", &LEASED, &[("more", &HALF)])?;
    let signed = json!({"metadata": {"annotations": {"leasehold.dev/requested-by": "nobody"}}});
    let (target, place) = (format!("tcy/{UNSTAMPED}"), manifests::office(CODE));
    eventually("stamps in force again", LONG, async || {
        let show = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
        let asked = staff.kubectl(&show, &manifest.to_string()).await;
        let asked = asked.map_err(|failure| said(&failure))?;
        let dry = ["-n", place.as_str(), "--dry-run=server"];
        let forged = staff.try_patch(&target, &dry, &signed).await;
        let forged = forged.map_err(|failure| said(&failure))?;
        if asked.stdout.contains("requested-by") && forged.stderr.contains("rule N06:") {
            Ok(())
        } else {
            Err(format!("{asked:?}\n{forged:?}"))
        }
    })
    .await
}
