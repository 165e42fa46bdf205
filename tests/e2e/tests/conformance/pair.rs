//! The model and the API server side by side.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use leasehold_model::admission::OPERATOR;
use leasehold_model::{Faults, RuntimeClock, Server};
use leasehold_testkit::{LONG, eventually};
use serde_json::{Value, json};

use crate::book::Book;
use crate::deed::Deed;
use crate::differ::{equal, shown};
use crate::place::Place;
use crate::plain::{self, Answer};

/// How long the cluster's controllers may take to count a quota, and caches of the API server to see it. The end of a
/// namespace may take [`LONG`].
pub const SOON: Duration = Duration::from_secs(60);
/// The model's clock begins at 2027-01-01T00:00:00Z. No answer depends on it.
const START: i64 = 1_798_761_600;

/// One of both.
struct Side {
    client: Client,
    book: Book,
}

impl Side {
    fn new(client: Client) -> Self {
        Self {
            client,
            book: Book::default(),
        }
    }

    async fn answer(&self, deed: &Deed, trial: bool) -> Answer {
        let said = async {
            let response = self.client.send(deed.request(&self.book, trial)).await?;
            let code = response.status().as_u16();
            let bytes = response.into_body().collect_bytes().await?;
            Ok::<_, kube::Error>((code, bytes))
        };
        match said.await {
            Ok((code, bytes)) => {
                let body = serde_json::from_slice(&bytes);
                let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
                Answer {
                    code,
                    body: body.unwrap_or_else(|_| text()),
                }
            }
            Err(error) => Answer {
                code: 0,
                body: Value::String(error.to_string()),
            },
        }
    }
}

/// What both said.
struct Said {
    model: Answer,
    real: Answer,
}

/// The model and the API server side by side. The administrator asks the API server, and the operator the model, which
/// lets nobody else write approvals: without the chart's policies both may do everything.
pub struct Pair {
    model: Side,
    real: Side,
    server: Server,
    /// Names of the play's own objects begin with this, where they are not in a namespace of its own.
    prefix: String,
    home: String,
}

impl Pair {
    /// A fresh model beside the API server, with one namespace on both.
    pub async fn open(real: Client, prefix: &str, home: &str) -> Result<Self, String> {
        let start = Timestamp::from_second(START).unwrap();
        let clock = Arc::new(RuntimeClock::starting_at(start));
        let server = Server::new(clock, Faults::default());
        let mut pair = Self {
            model: Side::new(server.client(OPERATOR)),
            real: Side::new(real),
            server,
            prefix: prefix.to_owned(),
            home: home.to_owned(),
        };
        pair.settle_in(home).await?;
        Ok(pair)
    }

    /// Makes a namespace, and waits until it has what every namespace has: a quota counts it.
    pub async fn settle_in(&mut self, name: &str) -> Result<(), String> {
        let place = Place::namespace(name);
        let code = self.perform(&Deed::create(&place, &json!({}))).await?;
        if code != 201 {
            return Err(format!("the namespace {name} was answered with {code}"));
        }
        let root = Deed::get(&Place::new("ConfigMap", name, "kube-root-ca.crt"));
        let furnished = eventually("the furniture of a namespace", SOON, async || {
            let Said { model, real } = self.ask(&root, false).await;
            match (model.code, real.code) {
                (200, 200) => Ok(()),
                codes => Err(format!("{codes:?}")),
            }
        });
        furnished.await.map_err(|failure| format!("{failure:?}"))
    }

    /// What the API server has shown.
    pub fn book(&self) -> &Book {
        &self.real.book
    }

    /// Clients of the model and of the API server.
    pub fn clients(&self) -> [Client; 2] {
        [&self.model, &self.real].map(|side| side.client.clone())
    }

    /// With what the names of the play's own objects begin.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The versions up to which both have shown a kind.
    pub async fn versions(&self, place: &Place) -> [String; 2] {
        let Said { model, real } = self.ask(&Deed::list(place), false).await;
        [model, real].map(|answer| {
            let version = &answer.body["metadata"]["resourceVersion"];
            version.as_str().unwrap().to_owned()
        })
    }

    async fn ask(&self, deed: &Deed, trial: bool) -> Said {
        Said {
            model: self.model.answer(deed, trial).await,
            real: self.real.answer(deed, trial).await,
        }
    }

    /// Has both carry a call out. They must say the same and come to the same; otherwise the error has the call and what
    /// differs.
    pub async fn perform(&mut self, deed: &Deed) -> Result<u16, String> {
        let told = deed.told(&self.real.book);
        let after = |what: String| format!("{told}\n{what}");
        if deed.asks_caches() {
            self.agree(deed).await.map_err(&after)?;
        }
        let said = self.ask(deed, false).await;
        self.compare(deed, &said).map_err(&after)?;
        self.learn(deed, &said);
        if deed.is_write() {
            self.settle();
            for read in self.touched(deed) {
                self.level(&read).await.map_err(&after)?;
            }
        }
        Ok(said.real.code)
    }

    /// Has both carry a call out of which the verdict alone is compared, and what quotas count afterwards: what the API
    /// server adds to pods is not the model's.
    pub async fn judge(&mut self, deed: &Deed) -> Result<u16, String> {
        let told = deed.told(&self.real.book);
        let after = |what: String| format!("{told}\n{what}");
        self.agree(deed).await.map_err(&after)?;
        let Said { model, real } = self.ask(deed, false).await;
        equal(&plain::verdict(&model), &plain::verdict(&real)).map_err(&after)?;
        self.settle();
        let quotas = Place::new("ResourceQuota", &deed.place.namespace, "");
        self.level(&Deed::list(&quotas)).await.map_err(&after)?;
        Ok(real.code)
    }

    /// Waits until both give one verdict on a trial: the API server looks at quotas and namespaces through caches.
    async fn agree(&self, deed: &Deed) -> Result<(), String> {
        let trial = eventually("one verdict of both on a trial", SOON, async || {
            let Said { model, real } = self.ask(deed, true).await;
            equal(&plain::verdict(&model), &plain::verdict(&real))
        });
        trial.await.map_err(|failure| format!("{failure:?}"))
    }

    /// Waits until both answer a read alike.
    pub async fn level(&mut self, read: &Deed) -> Result<(), String> {
        let what = format!("the same at {} on both sides", read.place.path());
        let is_of_home = read.place.namespace == self.home || read.place.kind.is_custom();
        let bound = if is_of_home { SOON } else { LONG };
        let level = eventually(&what, bound, async || {
            let said = self.ask(read, false).await;
            self.compare(read, &said)?;
            Ok(said)
        });
        let said = level.await.map_err(|failure| format!("{failure:?}"))?;
        self.learn(read, &said);
        Ok(())
    }

    fn compare(&self, deed: &Deed, said: &Said) -> Result<(), String> {
        let Said { model, real } = said;
        let plain = |side: &Side, answer: &Answer| {
            let place = deed.target();
            plain::answer(&place, answer, &side.book, &self.prefix)
        };
        let (one, other) = (plain(&self.model, model), plain(&self.real, real));
        equal(&one, &other).map_err(|lines| {
            let (one, other) = (shown(&model.body), shown(&real.body));
            format!(
                "{lines}\nthe model's whole answer:      {} {one}\nthe API server's whole answer: {} {other}",
                model.code, real.code
            )
        })
    }

    fn learn(&mut self, deed: &Deed, said: &Said) {
        let place = deed.target();
        for (side, answer) in [(&mut self.model, &said.model), (&mut self.real, &said.real)] {
            side.book.learn(&place, answer.code, &answer.body);
        }
    }

    /// Has the model's controllers do what is due. Those of the cluster do it by themselves.
    fn settle(&self) {
        self.server.with_store(leasehold_model::Store::settle);
    }

    /// What a call may have changed, as it is read.
    fn touched(&self, deed: &Deed) -> Vec<Deed> {
        let target = deed.target();
        let mut reads = Vec::new();
        if !target.name.is_empty() {
            reads.push(Deed::get(&target));
        }
        if target.is_counted() {
            let quotas = Place::new("ResourceQuota", &target.namespace, "");
            reads.push(Deed::list(&quotas));
        }
        let space = if target.is_namespace() {
            &target.name
        } else {
            &target.namespace
        };
        if !space.is_empty() && *space != self.home {
            if !target.is_namespace() {
                reads.push(Deed::get(&Place::namespace(space)));
            }
            reads.push(Deed::list(&Place::new("ConfigMap", space, "")));
        }
        reads
    }
}
