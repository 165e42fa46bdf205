//! One call, told to both sides alike. What only one side can know stands in its body as a word: see [`VERSION`].

use http::{Method, Request, header};
use kube::client::Body;
use serde_json::{Value, json};

use crate::bodies::laid_over;
use crate::book::Book;
use crate::place::{Place, text};

/// Stands for the version of the object as this side last showed it.
pub const VERSION: &str = "«version»";
/// Stands for an older version of the object.
pub const STALE: &str = "«stale»";
/// Stands for the object's uid on this side.
pub const UID: &str = "«uid»";
/// A uid that no object has.
pub const NOBODY: &str = "11111111-2222-4333-8444-555555555555";
/// Whoever writes without applying.
pub const EDITOR: &str = "cf-editor";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// A new object.
    Create,
    /// One object.
    Get,
    /// All objects of a kind.
    List,
    /// Another object in the place of the old one.
    Replace,
    /// A merge patch.
    Merge,
    /// A JSON patch.
    Json,
    /// Server-side apply.
    Apply,
    /// The end of an object.
    Delete,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 8] = [
        Self::Create,
        Self::Get,
        Self::List,
        Self::Replace,
        Self::Merge,
        Self::Json,
        Self::Apply,
        Self::Delete,
    ];

    fn method(self) -> Method {
        match self {
            Self::Create => Method::POST,
            Self::Get | Self::List => Method::GET,
            Self::Replace => Method::PUT,
            Self::Merge | Self::Json | Self::Apply => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }

    fn form(self) -> &'static str {
        match self {
            Self::Create | Self::Get | Self::List | Self::Replace | Self::Delete => {
                "application/json"
            }
            Self::Merge => "application/merge-patch+json",
            Self::Json => "application/json-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }

    /// Whether its author is entered as an owner of fields.
    fn has_author(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Delete)
    }
}

/// What a call carries.
#[derive(Clone, Debug)]
pub enum Sent {
    /// Nothing.
    Nothing,
    /// This, with its words filled in.
    Whole(Value),
    /// The object as this side last showed it, with a merge patch laid over it: what somebody sends who has read it.
    Seen(Value),
}

/// One call.
#[derive(Clone, Debug)]
pub struct Deed {
    /// What is asked for.
    pub verb: Verb,
    /// Of what.
    pub place: Place,
    /// The subresource; empty for the object itself.
    pub door: &'static str,
    query: Vec<(&'static str, String)>,
    sent: Sent,
}

impl Deed {
    /// A call that carries nothing, by the editor if it is a write.
    pub fn new(verb: Verb, place: &Place) -> Self {
        let mut query = Vec::new();
        if verb.has_author() {
            query.push(("fieldManager", EDITOR.to_owned()));
        }
        Self {
            verb,
            place: place.clone(),
            door: "",
            query,
            sent: Sent::Nothing,
        }
    }

    /// A call that makes an object: name and namespace are those of the place, unless the body has others.
    pub fn create(place: &Place, body: &Value) -> Self {
        Self::new(Verb::Create, &place.all()).carrying(complete(place, body))
    }

    /// A call that puts an object in the place of the old one.
    pub fn replace(place: &Place, body: &Value) -> Self {
        Self::new(Verb::Replace, place).carrying(complete(place, body))
    }

    /// A call that puts what was last seen there again, changed by a merge patch.
    pub fn rewrite(place: &Place, patch: Value) -> Self {
        let mut deed = Self::new(Verb::Replace, place);
        deed.sent = Sent::Seen(patch);
        deed
    }

    /// A merge patch.
    pub fn merge(place: &Place, patch: Value) -> Self {
        Self::new(Verb::Merge, place).carrying(patch)
    }

    /// A JSON patch.
    pub fn json(place: &Place, patch: Value) -> Self {
        Self::new(Verb::Json, place).carrying(patch)
    }

    /// An apply by a manager.
    pub fn apply(place: &Place, manager: &str, config: &Value) -> Self {
        let deed = Self::new(Verb::Apply, place).carrying(complete(place, config));
        deed.with("fieldManager", manager)
    }

    /// A call that ends an object, under these options.
    pub fn delete(place: &Place, options: &Value) -> Self {
        let whole = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        Self::new(Verb::Delete, place).carrying(laid_over(&whole, options))
    }

    /// A call for one object.
    pub fn get(place: &Place) -> Self {
        Self::new(Verb::Get, place)
    }

    /// A call for all objects beside a place.
    pub fn list(place: &Place) -> Self {
        Self::new(Verb::List, &place.all())
    }

    /// The same with a body.
    fn carrying(mut self, body: Value) -> Self {
        self.sent = Sent::Whole(body);
        self
    }

    /// The same with a parameter; it takes the place of one of the same name.
    pub fn with(mut self, parameter: &'static str, value: &str) -> Self {
        self.query.retain(|(known, _)| *known != parameter);
        self.query.push((parameter, value.to_owned()));
        self
    }

    /// The same of a subresource.
    pub fn through(mut self, door: &'static str) -> Self {
        self.door = door;
        self
    }

    /// Whether it may change something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb, Verb::Get | Verb::List)
    }

    /// Whether caches of the API server have a say in its answer: those of quotas and of namespaces. Updates make objects
    /// of some kinds of Kubernetes.
    pub fn asks_caches(&self) -> bool {
        let kind = &self.place.kind;
        let may_create = match self.verb {
            Verb::Create | Verb::Apply => true,
            Verb::Replace => !kind.is_custom(),
            Verb::Get | Verb::List | Verb::Merge | Verb::Json | Verb::Delete => false,
        };
        may_create && kind.namespaced && self.door.is_empty()
    }

    /// The object that it is about, as far as it has a name.
    pub fn target(&self) -> Place {
        match &self.sent {
            Sent::Whole(body) if self.verb == Verb::Create => {
                self.place.named(text(body, "/metadata/name"))
            }
            Sent::Whole(_) | Sent::Seen(_) | Sent::Nothing => self.place.clone(),
        }
    }

    fn address(&self, trial: bool) -> String {
        let mut address = self.place.path();
        if !self.door.is_empty() {
            address = format!("{address}/{}", self.door);
        }
        let mut query: Vec<String> = self
            .query
            .iter()
            .map(|(key, value)| format!("{key}={}", escaped(value)))
            .collect();
        if trial {
            query.push("dryRun=All".to_owned());
        }
        if query.is_empty() {
            return address;
        }
        format!("{address}?{}", query.join("&"))
    }

    fn body(&self, book: &Book) -> Option<Value> {
        let path = self.target().path();
        match &self.sent {
            Sent::Nothing => None,
            Sent::Whole(body) => Some(book.fill(&path, body)),
            Sent::Seen(patch) => {
                let patch = book.fill(&path, patch);
                let seen = book.object(&path).cloned();
                let seen = seen.unwrap_or_else(|| complete(&self.place, &json!({})));
                Some(laid_over(&seen, &patch))
            }
        }
    }

    /// As it goes to the side of this book; on trial, nothing is stored.
    pub fn request(&self, book: &Book, trial: bool) -> Request<Body> {
        let mut request = Request::builder()
            .method(self.verb.method())
            .uri(self.address(trial));
        let body = self.body(book);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, self.verb.form());
        }
        let bytes = body.map(|body| body.to_string().into_bytes());
        request.body(Body::from(bytes.unwrap_or_default())).unwrap()
    }

    /// As a command line, as it goes to the side of this book.
    pub fn told(&self, book: &Book) -> String {
        let method = self.verb.method();
        let mut told = format!("curl -X {method} \"$SERVER{}\"", self.address(false));
        if let Some(body) = self.body(book) {
            let form = self.verb.form();
            let body = body.to_string().replace('\'', "'\\''");
            told = format!("{told} -H 'content-type: {form}' -d '{body}'");
        }
        told
    }
}

/// A body with type and name of its place, where it does not have them.
pub fn complete(place: &Place, body: &Value) -> Value {
    let mut whole = body.clone();
    let fill = |fields: &mut Value, key: &str, value: &str| {
        if fields.get(key).is_none() && !value.is_empty() {
            fields[key] = json!(value);
        }
    };
    fill(&mut whole, "apiVersion", place.kind.api_version());
    fill(&mut whole, "kind", &place.kind.kind);
    let metadata = &mut whole["metadata"];
    fill(metadata, "name", &place.name);
    fill(metadata, "namespace", &place.namespace);
    whole
}

/// A value as it stands in a query.
fn escaped(value: &str) -> String {
    value
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[test]
fn a_call_goes_to_its_place_with_what_this_side_knows() {
    let place = Place::new("ConfigMap", "home", "a");
    let mut book = Book::default();
    let seen = json!({"metadata": {"name": "a", "namespace": "home", "uid": "u", "resourceVersion": "7"},
        "data": {"x": "1"}});
    book.learn(&place, 200, &seen);
    let body = json!({"metadata": {"resourceVersion": VERSION, "uid": UID}});
    let deed = Deed::replace(&place, &body).with("force", "a b");
    let told = deed.told(&book);
    assert!(
        told.starts_with(
            "curl -X PUT \"$SERVER/api/v1/namespaces/home/configmaps/a?fieldManager=cf-editor&force=a%20b\""
        ),
        "{told}"
    );
    let sent = deed.body(&book).unwrap();
    assert_eq!(sent["metadata"]["resourceVersion"], "7");
    assert_eq!(sent["metadata"]["uid"], "u");
    let again = Deed::rewrite(&place, json!({"data": {"x": null, "y": "2"}}));
    let sent = again.body(&book).unwrap();
    assert_eq!(sent["data"], json!({"y": "2"}));
    assert_eq!(sent["kind"], "ConfigMap");
}
