//! What goes wrong with which request.

use std::time::Duration;

use super::asked::{Asked, Verb};

/// When the client is killed around one of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The request is on its way and never arrives.
    BeforeCommit,
    /// The request is carried out; nobody hears of it.
    AfterCommit,
}

/// What is done to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is passed on so much later.
    Delay(Duration),
    /// It is accepted and never answered; after so long the connection is cut.
    Hang(Duration),
    /// The connection is cut before it is passed on.
    ResetBefore,
    /// It is carried out, and the connection is cut in place of an answer.
    ForwardThenReset,
    /// It is carried out, and the answer is 504.
    ForwardThen504,
    /// It is refused with this code before it is passed on.
    Status {
        /// 429, 500 or 503.
        code: u16,
        /// How many seconds the client is asked to wait.
        retry_after: Option<u32>,
    },
    /// It is carried out, and the answer ends in its middle.
    Truncate,
    /// Of a watch: the connection is cut after so many frames.
    CutAfter(u32),
    /// Of a watch: its version is gone, which the first event says. So it stays until the client lists.
    GoneEvent,
    /// Of a watch: its version is gone, which the HTTP status says. So it stays until the client lists.
    GoneHttp,
    /// Of a watch: the first event that tells of an object is lost. No API server does this.
    DropEvent,
    /// Of a watch: bookmarks are left out.
    NoBookmarks,
    /// Of a watch: it opens and stays silent; after so long the connection is cut.
    BlackHole(Duration),
    /// Of a list: it is answered as the same list was answered last, whatever happened since. Where
    /// nothing was listed before, it is passed on.
    StaleList,
    /// The client is killed (see [`Strike`](super::Strike)) around it.
    Kill(Moment),
}

impl Action {
    /// Its name in the journal.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delay(_) => "delay",
            Self::Hang(_) => "hang",
            Self::ResetBefore => "reset-before",
            Self::ForwardThenReset => "forward-then-reset",
            Self::ForwardThen504 => "forward-then-504",
            Self::Status { .. } => "status",
            Self::Truncate => "truncate",
            Self::CutAfter(_) => "cut-after",
            Self::GoneEvent => "gone-event",
            Self::GoneHttp => "gone-http",
            Self::DropEvent => "drop-event",
            Self::NoBookmarks => "no-bookmarks",
            Self::BlackHole(_) => "black-hole",
            Self::StaleList => "stale-list",
            Self::Kill(Moment::BeforeCommit) => "kill-before-commit",
            Self::Kill(Moment::AfterCommit) => "kill-after-commit",
        }
    }

    /// Whether it can be done to a request with this verb.
    pub fn suits(self, verb: Verb) -> bool {
        match self {
            Self::Delay(_) | Self::Hang(_) | Self::ResetBefore | Self::Status { .. } => true,
            Self::ForwardThenReset | Self::ForwardThen504 | Self::Truncate => verb != Verb::Watch,
            Self::CutAfter(_)
            | Self::GoneEvent
            | Self::GoneHttp
            | Self::DropEvent
            | Self::NoBookmarks
            | Self::BlackHole(_) => verb == Verb::Watch,
            Self::StaleList => verb == Verb::List,
            Self::Kill(_) => Verb::WRITES.contains(&verb),
        }
    }

    /// Whether it depends on what comes that anything goes wrong at all; then it is told when it does.
    pub(super) fn shows_later(self) -> bool {
        match self {
            Self::CutAfter(_) | Self::DropEvent | Self::NoBookmarks | Self::StaleList => true,
            Self::Delay(_)
            | Self::Hang(_)
            | Self::ResetBefore
            | Self::ForwardThenReset
            | Self::ForwardThen504
            | Self::Status { .. }
            | Self::Truncate
            | Self::GoneEvent
            | Self::GoneHttp
            | Self::BlackHole(_)
            | Self::Kill(_) => false,
        }
    }
}

/// Which requests are meant. What is left empty means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// What they do.
    pub verbs: Vec<Verb>,
    /// What they are about: `tenancies`, or with a subresource `tenancies/status`.
    pub resources: Vec<String>,
    /// What they are not about.
    pub except: Vec<String>,
    /// Where.
    pub namespace: Option<String>,
    /// The name of the object.
    pub name: Option<String>,
    /// How the client's User-Agent begins.
    pub client: Option<String>,
}

impl Target {
    /// Requests with these verbs about these resources; none named means all.
    pub fn of(verbs: &[Verb], resources: &[&str]) -> Self {
        Self {
            verbs: verbs.to_vec(),
            resources: resources.iter().map(|&name| name.to_owned()).collect(),
            ..Self::default()
        }
    }

    /// Requests with these verbs, those about these resources excepted.
    pub fn but(verbs: &[Verb], except: &[&str]) -> Self {
        Self {
            verbs: verbs.to_vec(),
            except: except.iter().map(|&name| name.to_owned()).collect(),
            ..Self::default()
        }
    }

    /// Whether a request is meant.
    pub fn holds(&self, asked: &Asked) -> bool {
        let is = |wanted: Option<&str>, found: &str| wanted.is_none_or(|wanted| wanted == found);
        (self.verbs.is_empty() || self.verbs.contains(&asked.verb))
            && (self.resources.is_empty() || self.resources.contains(&asked.resource))
            && !self.except.contains(&asked.resource)
            && is(self.namespace.as_deref(), &asked.namespace)
            && is(self.name.as_deref(), &asked.name)
            && is_of(self.client.as_deref(), asked)
    }
}

/// Whether a request comes from a client whose User-Agent begins so.
pub(super) fn is_of(client: Option<&str>, asked: &Asked) -> bool {
    client.is_none_or(|client| asked.client.starts_with(client))
}

/// Which of the requests that are meant it befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The n-th alone, counted from 1.
    Nth(u32),
    /// The first so many.
    First(u32),
    /// So many in a thousand, by the proxy's seed.
    Permille(u16),
}

/// A rule: what goes wrong with which request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which requests are meant.
    pub target: Target,
    /// Which of them it befalls.
    pub turn: Turn,
    /// What is done to them.
    pub action: Action,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(verb: Verb, resource: &str, place: [&str; 2], client: &str) -> Asked {
        Asked {
            verb,
            resource: resource.to_owned(),
            namespace: place[0].to_owned(),
            name: place[1].to_owned(),
            client: client.to_owned(),
        }
    }

    #[test]
    fn a_target_holds_for_what_it_names_and_for_all_where_it_names_nothing() {
        let request = asked(Verb::Patch, "resourcequotas", ["a", "q"], "leasehold/0.1.0");
        assert!(Target::default().holds(&request));
        assert!(Target::of(&Verb::WRITES, &["resourcequotas"]).holds(&request));
        assert!(!Target::of(&[Verb::Get], &[]).holds(&request));
        assert!(!Target::of(&[], &["resourcequotas/status"]).holds(&request));
        assert!(!Target::but(&[], &["resourcequotas"]).holds(&request));
        let with = |change: fn(&mut Target, Option<String>), text: &str| {
            let mut target = Target::default();
            change(&mut target, Some(text.to_owned()));
            target.holds(&request)
        };
        let namespace: fn(&mut Target, Option<String>) = |target, text| target.namespace = text;
        assert!(with(namespace, "a"));
        assert!(!with(namespace, "b"));
        let name: fn(&mut Target, Option<String>) = |target, text| target.name = text;
        assert!(with(name, "q"));
        assert!(!with(name, "p"));
        let client: fn(&mut Target, Option<String>) = |target, text| target.client = text;
        assert!(with(client, "leasehold/"));
        assert!(!with(client, "kubectl"));
    }

    #[test]
    fn what_befalls_a_watch_befalls_nothing_else_and_no_write_is_a_watch() {
        let second = Duration::from_secs(1);
        for action in [
            Action::GoneHttp,
            Action::CutAfter(1),
            Action::BlackHole(second),
        ] {
            assert!(action.suits(Verb::Watch));
            assert!(Verb::CALLS.into_iter().all(|verb| !action.suits(verb)));
        }
        assert!(!Action::ForwardThenReset.suits(Verb::Watch));
        assert!(!Action::Kill(Moment::AfterCommit).suits(Verb::Get));
        assert!(!Action::StaleList.suits(Verb::Get));
        assert!(Action::Hang(second).suits(Verb::Watch));
    }
}
