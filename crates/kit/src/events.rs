//! Events for people: best effort, never a reason to fail.

use kube::{
    Resource,
    runtime::events::{Event, Recorder},
};

pub use kube::runtime::events::EventType;

use crate::client::Kit;

/// The API server refuses longer notes.
const NOTE_BYTES: usize = 1024;

impl Kit {
    /// Publishes an event about an object. Failure is logged and nothing else.
    ///
    /// Within six minutes the same reason and action about the same object count as a repetition, and the first note is
    /// sent again: what must be seen belongs into `reason` (at most 128 bytes, `PascalCase`) or into a condition.
    /// Events of cluster-scoped objects go to the namespace `default`.
    pub async fn event<K: Resource<DynamicType = ()> + Sync>(
        &self,
        object: &K,
        type_: EventType,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(shorten(note, NOTE_BYTES).to_owned()),
            action: action.to_owned(),
            secondary: None,
        };
        let recorder: &Recorder = self.recorder();
        let object = object.object_ref(&());
        let name = object.name.as_deref().unwrap_or_default();
        match tokio::time::timeout(self.deadline(), recorder.publish(&event, &object)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(name, reason, %error, "failed to publish an event"),
            Err(_) => tracing::warn!(name, reason, "failed to publish an event in time"),
        }
    }
}

/// The longest beginning of the text of at most so many bytes that does not cut a character.
fn shorten(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, Reply};
    use k8s_openapi::api::core::v1::Namespace;
    use serde_json::json;

    fn namespace() -> Namespace {
        serde_json::from_value(json!({"metadata": {"name": "sfb--archive", "uid": "u1"}})).unwrap()
    }

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(shorten("租约", 6), "租约");
        assert_eq!(shorten("租约", 5), "租");
        assert_eq!(shorten("租约", 2), "");
        assert_eq!(shorten("plain", 100), "plain");
    }

    #[tokio::test]
    async fn an_event_names_its_object_and_fits() {
        let fake = Fake::new(|call| Reply::Json(201, call.body.clone()));
        let note = "长".repeat(1_000);
        fake.kit()
            .event(&namespace(), EventType::Normal, "Ready", "Provision", &note)
            .await;
        let call = &fake.calls()[0];
        assert_eq!(call.body["regarding"]["name"], "sfb--archive");
        // 1024 bytes hold 341 characters of three
        assert_eq!(call.body["note"].as_str().unwrap().chars().count(), 341);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_takes_no_events_holds_nobody_up_for_ever() {
        let fake = Fake::new(|_| Reply::Silence);
        let kit = fake.kit();
        let start = tokio::time::Instant::now();
        kit.event(
            &namespace(),
            EventType::Warning,
            "Failed",
            "Provision",
            "note",
        )
        .await;
        assert_eq!(start.elapsed().as_secs(), kit.deadline().as_secs());
    }
}
