//! What tests of a round stand on: an API server that is a function from call to answer, behind the real client, and a
//! tenancy of ten cores with its first request due.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use leasehold_api::{
    names,
    platform::{CloudPolicy, Cloudlet, NetworkZone},
    tenancy::{Department, Tenancy},
};
use leasehold_kit::{Kit, SystemClock};
use leasehold_ledger::{
    book::{Basis, Catalogue, Category, Item, Per},
    document::RequestDoc,
    money::{Price, Unit},
    time::Second,
};
use leasehold_planner::{
    convert::ledger_policy,
    objects::{self, NamespacePlan},
    request::{Asked, Items, LedgerView},
};
use leasehold_store::Store;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{
    super::observe::{Life, State},
    Due, divide, identity,
};
use crate::{Books, Context, Fences, Figures, Leases, Measures, Repairs, Settings, World};

/// One call, as the server sees it.
#[derive(Clone, Debug)]
pub(in crate::tenancy) struct Call {
    pub(in crate::tenancy) method: String,
    pub(in crate::tenancy) path: String,
    query: String,
    pub(in crate::tenancy) body: Value,
}

impl Call {
    fn is_watch(&self) -> bool {
        self.query.contains("watch=true")
    }

    fn is_list(&self) -> bool {
        self.query.contains("limit=")
    }
}

/// What the server says: a code and a body.
pub(in crate::tenancy) type Reply = (u16, Value);

type Answer = dyn Fn(&Call) -> Option<Reply> + Send + Sync;

/// The server. Watches bring nothing.
pub(in crate::tenancy) struct Fake {
    url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Fake {
    /// Answers what the function has an answer for; else nothing is there, and everything that is written is taken.
    pub(in crate::tenancy) async fn start(
        answer: impl Fn(&Call) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer: Arc<Answer> = Arc::new(answer);
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let seen = Arc::clone(&calls);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answer), Arc::clone(&seen)));
            }
        });
        Self { url, calls }
    }

    /// Method and path of every call but lists and watches, in the order in which they arrived.
    pub(in crate::tenancy) fn calls(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        let single = calls.iter().filter(|call| !call.is_list());
        single
            .map(|call| format!("{} {}", call.method, call.path))
            .collect()
    }

    /// Path and body of every write to such a path, in the order in which they arrived.
    pub(in crate::tenancy) fn writes(&self, part: &str) -> Vec<(String, Value)> {
        let calls = self.calls.lock().unwrap();
        let writes = calls.iter().filter(|call| call.method != "GET");
        writes
            .filter(|call| call.path.contains(part))
            .map(|call| (call.path.clone(), call.body.clone()))
            .collect()
    }

    fn kit(&self) -> Kit {
        let mut config = kube::Config::new(self.url.parse().unwrap());
        // no certificate is needed, and none is looked for on this machine
        config.root_cert = Some(Vec::new());
        config.default_retry = false;
        let client = kube::Client::try_from(config).unwrap();
        Kit::from_client(client, Arc::new(SystemClock::new()))
    }
}

/// The API server's way to say no.
pub(in crate::tenancy) fn refusal(code: u16, reason: &str) -> Reply {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": reason, "reason": reason, "code": code});
    (code, status)
}

/// A list of these.
pub(in crate::tenancy) fn list(items: &[Value]) -> Reply {
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
        "items": items});
    (200, list)
}

/// The object as it is once it was made: with a uid.
pub(in crate::tenancy) fn made(object: &Value) -> Value {
    let mut object = object.clone();
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    object["metadata"]["uid"] = json!(format!("uid-of-{name}"));
    object
}

fn usual(call: &Call) -> Reply {
    match call.method.as_str() {
        "GET" if call.is_list() => list(&[]),
        "GET" => refusal(404, "NotFound"),
        "POST" => (201, made(&call.body)),
        _ => (200, call.body.clone()),
    }
}

/// One call on one connection.
async fn serve(stream: TcpStream, answer: Arc<Answer>, seen: Arc<Mutex<Vec<Call>>>) {
    let mut stream = BufReader::new(stream);
    let Some(call) = receive(&mut stream).await else {
        return;
    };
    if call.is_watch() {
        return std::future::pending().await;
    }
    seen.lock().unwrap().push(call.clone());
    let (code, body) = answer(&call).unwrap_or_else(|| usual(&call));
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {code} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // a client that went hears nothing
    drop(stream.write_all(format!("{head}{body}").as_bytes()).await);
    drop(stream.shutdown().await);
}

async fn receive(stream: &mut BufReader<TcpStream>) -> Option<Call> {
    let mut first = String::new();
    stream.read_line(&mut first).await.ok()?;
    let mut words = first.split_whitespace();
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut length: usize = 0;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.ok()?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0_u8; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Call {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}

/// What a reconciler is given, on this server, with an empty ledger. The caches are fed as long as the tasks live.
pub(in crate::tenancy) async fn context(fake: &Fake) -> (Context, JoinSet<()>) {
    let mut tasks = JoinSet::new();
    let kit = fake.kit();
    let store = Store::in_memory().await.unwrap();
    let books = Books::open(store, "cluster", Second::new(0)).await.unwrap();
    let world = World::start(&kit, &mut tasks).await.unwrap();
    let context = Context {
        books,
        world: Arc::new(world),
        figures: Figures::default(),
        leases: Leases::default(),
        measures: Measures::register(kit.metrics()),
        repairs: Repairs::default(),
        fences: Fences::default(),
        settings: Settings {
            namespace: "leasehold".to_owned(),
            holder: "test".to_owned(),
            portion: Settings::PORTION,
        },
        kit,
    };
    (context, tasks)
}

/// Tenancy `oa` of the department `edu`, its ten cores split so among its namespaces.
pub(in crate::tenancy) fn state(shares: &[(&str, &str)]) -> State {
    let shares: Vec<Value> = shares
        .iter()
        .map(|(name, cores)| json!({"name": name, "share": {"vcpu-x86": cores}}))
        .collect();
    let spec = json!({
        "system": "oa", "zone": "gov-extranet",
        "term": {"from": "2026-09-01", "through": "2027-08-31"},
        "contract": "HS-1", "budget": {"code": "30227"},
        "lease": [{"item": "vcpu-x86", "quantity": "10"}],
        "namespaces": shares,
        "members": [{"role": "admin", "user": "li@edu"}],
    });
    let mut tenancy = Tenancy::new("oa", serde_json::from_value(spec).unwrap());
    tenancy.metadata.namespace = Some(names::office_namespace("edu"));
    tenancy.metadata.uid = Some("uid-of-oa".to_owned());
    let policy_object = CloudPolicy::new(
        names::POLICY_NAME,
        serde_json::from_value(json!({})).unwrap(),
    );
    let policy = ledger_policy(&policy_object.spec).unwrap();
    let organisation = json!({
        "displayName": "教育局", "administrators": [{"kind": "User", "name": "zhang@edu"}],
    });
    let zone = json!({
        "displayName": "政务外网", "network": "GovExtranet", "protectionLevel": 3,
    });
    let cloudlet = json!({
        "displayName": "市级", "provider": "hs-bigdata", "zones": ["gov-extranet"],
    });
    State {
        catalogue: Catalogue::new(Vec::new(), policy.time_zone.clone()).unwrap(),
        domains: BTreeSet::new(),
        system: None,
        zone: NetworkZone::new("gov-extranet", serde_json::from_value(zone).unwrap()),
        cloudlet: Cloudlet::new(
            names::SELF_CLOUDLET,
            serde_json::from_value(cloudlet).unwrap(),
        ),
        asked: Asked::of(&tenancy.spec),
        life: Life {
            department: "edu".to_owned(),
            name: "oa".to_owned(),
            policy_object,
            policy,
            organisation: Department::new("edu", serde_json::from_value(organisation).unwrap()),
            view: LedgerView::default(),
            next: 1,
            ended: None,
            // 2025-10-09T08:53:20Z, before any clock that runs this
            now: Second::new(1_760_000_000),
            tenancy,
        },
    }
}

/// Its first request, due.
pub(super) fn due(state: &State) -> Due {
    let request = RequestDoc {
        department: state.department.clone(),
        tenancy: state.name.clone(),
        incarnation: 1,
        request: 1,
        snapshot: state.asked.snapshot().unwrap(),
        digest: state.asked.digest().unwrap(),
        requested_by: "zhang@edu".to_owned(),
        at: state.now,
        quotation: None,
        funds: None,
    };
    Due {
        part: state.asked.part.clone(),
        request,
        items: items(),
        not_before: state.now,
    }
}

/// What it leases.
pub(in crate::tenancy) fn items() -> Items {
    let cores = Item {
        name: "vcpu-x86".to_owned(),
        display_name: "vCPU".to_owned(),
        category: Category::Compute,
        resource: Some("cpu".to_owned()),
        storage_class: None,
        meter: None,
        unit: Unit::Core,
        per: Per::Month,
        basis: Basis::Reserved,
        price: Price::parse("46.00").unwrap(),
    };
    Items::from([(cores.name.clone(), cores)])
}

/// Its namespaces with their quotas, as they stand once everything is in place.
pub(in crate::tenancy) fn in_place(state: &State) -> Vec<(Value, Value)> {
    let stand = |plan: &NamespacePlan| {
        let mut quota = made(&json!(objects::quota(plan, &plan.hard)));
        quota["status"] = json!({"hard": quota["spec"]["hard"]});
        (made(&json!(objects::namespace(plan))), quota)
    };
    plans(state, &due(state)).iter().map(stand).collect()
}

/// Its namespaces as they shall be.
pub(super) fn plans(state: &State, due: &Due) -> Vec<NamespacePlan> {
    let (_, split) = divide(state, due, &[]).unwrap();
    let identity = identity(state, &due.items);
    split
        .into_iter()
        .map(|(short, hard)| NamespacePlan::new(identity.clone(), &short, hard))
        .collect()
}
