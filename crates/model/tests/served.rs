//! The model behind real clients: kube's own, its watcher, and the operator's.

#[cfg(test)]
mod served {
    use std::{sync::Arc, time::Duration};

    use futures::{StreamExt, TryStreamExt, pin_mut};
    use k8s_openapi::{
        api::core::v1::{ConfigMap, Namespace},
        jiff::{SignedDuration, Timestamp},
    };
    use kube::{
        Api, ResourceExt,
        api::{ListParams, WatchEvent, WatchParams},
        core::PartialObjectMeta,
    };
    use leasehold_kit::{Clock, Kit, KitError, Outcome};
    use leasehold_model::{Crash, Faults, Moment, RuntimeClock, Server};
    use serde_json::{Value, json};
    use tokio::time::timeout;

    /// Nothing that is waited for takes longer, in the time of the paused runtime.
    const SOON: Duration = Duration::from_secs(30);

    fn server(faults: Faults) -> Server {
        // 2027-01-01T00:00:00Z
        let start = Timestamp::from_second(1_798_761_600).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at(start));
        Server::new(clock, faults)
    }

    fn map(name: &str, x: &str) -> ConfigMap {
        let value = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "default", "labels": {"app": "a"}},
            "data": {"x": x}});
        serde_json::from_value(value).unwrap()
    }

    async fn written(kit: &Kit, name: &str, x: &str) -> Result<ConfigMap, KitError> {
        kit.apply(&map(name, x)).await
    }

    #[tokio::test(start_paused = true)]
    async fn the_operators_client_finds_its_way() {
        let server = server(Faults::default());
        let kit = server.kit();
        let made = kit.create(&map("a", "1")).await.unwrap();
        assert!(
            kit.create(&map("a", "1"))
                .await
                .unwrap_err()
                .is_already_exists()
        );
        assert!(kit.server_time().is_known());
        let found: Option<ConfigMap> = kit.get(Some("default"), "a").await.unwrap();
        assert_eq!(found.as_ref().unwrap().uid(), made.uid());
        let again = kit
            .apply_if_changed(&map("a", "1"), found.as_ref())
            .await
            .unwrap();
        assert_eq!(again, Outcome::Unchanged);
        let meta = kit
            .get_meta::<Namespace>(None, "kube-system")
            .await
            .unwrap();
        assert!(meta.unwrap().uid.is_some());
        let labelled: Vec<ConfigMap> = kit.list(None, Some("app=a")).await.unwrap();
        assert_eq!(labelled.len(), 1);
        let none: Vec<ConfigMap> = kit.list(None, Some("app=b")).await.unwrap();
        assert!(none.is_empty());
        let other = kit
            .delete::<ConfigMap>(Some("default"), "a", "another")
            .await;
        assert!(other.unwrap_err().is_conflict());
        let uid = made.uid().unwrap();
        assert!(
            kit.delete::<ConfigMap>(Some("default"), "a", &uid)
                .await
                .unwrap()
        );
        assert!(
            !kit.delete::<ConfigMap>(Some("default"), "a", &uid)
                .await
                .unwrap()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_servers_clock_can_be_set_and_its_clients_learn_of_it() {
        let server = server(Faults::default());
        let kit = server.kit();
        // by the objects that it dates and by the answers that it gives, against the machine's own clock
        let ahead = async |name: &str| {
            let made = kit.create(&map(name, "1")).await.unwrap();
            let own = kit.clock().now().as_second();
            let dated = made.metadata.creation_timestamp.unwrap().0.as_second();
            [dated - own, kit.server_time().now().as_second() - own]
        };
        let close = |[dated, told]: [i64; 2], expected: i64| {
            assert_eq!(dated, expected);
            assert!((-1..=1).contains(&(told - expected)), "{told} {expected}");
        };
        close(ahead("a").await, 0);
        server.set_clock(SignedDuration::from_secs(3600));
        close(ahead("b").await, 3600);
        server.set_clock(SignedDuration::from_secs(-4000));
        close(ahead("c").await, -400);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_resumes_after_its_version_and_ends_with_a_bookmark() {
        let server = server(Faults::default());
        let api: Api<ConfigMap> = Api::namespaced(server.client("chen@office"), "default");
        let kit = server.kit();
        written(&kit, "a", "1").await.unwrap();
        let version = api.list(&ListParams::default()).await.unwrap();
        let version = version.metadata.resource_version.unwrap();
        written(&kit, "a", "2").await.unwrap();
        let params = WatchParams::default().timeout(10);
        let events = api.watch(&params, &version).await.unwrap();
        let told: Vec<String> = timeout(SOON, events.try_collect::<Vec<_>>())
            .await
            .unwrap()
            .unwrap()
            .into_iter()
            .map(|event| match event {
                WatchEvent::Added(object) => format!("added {}", object.name_any()),
                WatchEvent::Modified(object) => {
                    format!("modified {}", object.data.unwrap()["x"])
                }
                WatchEvent::Deleted(object) => format!("deleted {}", object.name_any()),
                WatchEvent::Bookmark(_) => "bookmark".to_owned(),
                WatchEvent::Error(status) => format!("error {}", status.code),
            })
            .collect();
        assert_eq!(told, ["modified 2", "bookmark"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_of_labels_sees_objects_come_and_go_by_them() {
        let server = server(Faults::default());
        let api: Api<ConfigMap> = Api::namespaced(server.client("chen@office"), "default");
        let params = WatchParams::default().labels("app=a").timeout(20);
        let events = api.watch(&params, "0").await.unwrap();
        pin_mut!(events);
        let kit = server.kit();
        written(&kit, "a", "1").await.unwrap();
        let added = timeout(SOON, events.try_next()).await.unwrap().unwrap();
        assert!(matches!(added, Some(WatchEvent::Added(_))), "{added:?}");
        let patch = json!({"metadata": {"labels": {"app": "b"}}});
        kit.merge_patch::<ConfigMap>(Some("default"), "a", &patch)
            .await
            .unwrap();
        let gone = timeout(SOON, events.try_next()).await.unwrap().unwrap();
        assert!(matches!(gone, Some(WatchEvent::Deleted(_))), "{gone:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_that_is_forgotten_is_an_error_within_the_watch() {
        let server = server(Faults::default());
        let kit = server.kit();
        written(&kit, "a", "1").await.unwrap();
        server.with_store(|store, _| store.compact(store.version()));
        let api: Api<ConfigMap> = Api::namespaced(server.client("chen@office"), "default");
        let events = api.watch(&WatchParams::default(), "1").await.unwrap();
        pin_mut!(events);
        let first = timeout(SOON, events.try_next()).await.unwrap().unwrap();
        assert!(
            matches!(&first, Some(WatchEvent::Error(status)) if status.code == 410),
            "{first:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn metadata_alone_is_served_in_lists_and_watches() {
        let server = server(Faults::default());
        written(&server.kit(), "a", "1").await.unwrap();
        let api: Api<PartialObjectMeta<ConfigMap>> =
            Api::namespaced(server.client("chen@office"), "default");
        let listed = api.list_metadata(&ListParams::default()).await.unwrap();
        assert_eq!(listed.items.len(), 1);
        assert_eq!(listed.items[0].name_any(), "a");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_crash_the_write_stands_or_not_as_was_asked_and_the_next_life_works() {
        for (moment, stands) in [
            (Moment::BeforeCommit, false),
            (Moment::AfterCommit, true),
            (Moment::AfterAnswer, true),
        ] {
            let crash = Crash { write: 1, moment };
            let server = server(Faults::default().with_crash(crash));
            let kit = server.kit();
            written(&kit, "first", "1").await.unwrap();
            let second = written(&kit, "second", "1").await;
            assert_eq!(second.is_ok(), moment == Moment::AfterAnswer, "{moment:?}");
            assert_eq!(server.deaths(), 1);
            timeout(SOON, server.died(1)).await.unwrap();
            assert!(written(&kit, "third", "1").await.is_err(), "dead is dead");
            let next = server.kit();
            let found: Option<ConfigMap> = next.get(Some("default"), "second").await.unwrap();
            assert_eq!(found.is_some(), stands, "{moment:?}");
            written(&next, "fourth", "1").await.unwrap();
            let third: Option<ConfigMap> = next.get(Some("default"), "third").await.unwrap();
            assert_eq!(third, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_unanswered_create_was_carried_out() {
        let faults = Faults {
            unanswered: 1000,
            ..Faults::default()
        };
        let server = server(faults);
        let kit = server.kit();
        let error = kit.create(&map("a", "1")).await.unwrap_err();
        assert!(error.is_transient());
        let found: Option<ConfigMap> = kit.get(Some("default"), "a").await.unwrap();
        assert!(found.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_ends_up_with_what_there_is_through_rough_weather() {
        for seed in 0..50 {
            let server = server(Faults::rough(seed));
            let kit = server.kit();
            let people = Api::<ConfigMap>::namespaced(server.client("chen@office"), "default");
            let watching = kube::runtime::watcher(
                Api::<ConfigMap>::namespaced(kit.client(), "default"),
                kube::runtime::watcher::Config::default().timeout(5),
            );
            let (store, writer) = kube::runtime::reflector::store::<ConfigMap>();
            let reflected = kube::runtime::reflector(writer, watching);
            let seen = async {
                pin_mut!(reflected);
                while reflected.next().await.is_some() {}
            };
            let acting = async {
                for step in 0..20_u64 {
                    let name = format!("m{}", (seed + step) % 4);
                    let value = map(&name, &step.to_string());
                    // a name that is there already is deleted, one that is not is made
                    if people.delete(&name, &Default::default()).await.is_err() {
                        people.create(&Default::default(), &value).await.unwrap();
                    }
                    tokio::time::sleep(Duration::from_millis(70)).await;
                }
                let is_level = || {
                    let there = server.with_store(|store, _| {
                        let all = store.objects();
                        all.filter(|(key, _)| key.resource == "configmaps")
                            .map(|(key, object)| (key.name.clone(), version(object)))
                            .collect::<Vec<_>>()
                    });
                    let mut cached: Vec<_> = store
                        .state()
                        .iter()
                        .map(|map| (map.name_any(), map.resource_version().unwrap()))
                        .collect();
                    cached.sort();
                    there == cached
                };
                while !is_level() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            let both = async {
                tokio::select! {
                    () = seen => panic!("the watcher ended"),
                    () = acting => {}
                }
            };
            timeout(Duration::from_secs(600), both)
                .await
                .unwrap_or_else(|_| panic!("seed {seed}: the cache never caught up"));
        }
    }

    fn version(object: &Value) -> String {
        let version = object["metadata"]["resourceVersion"].as_str();
        version.unwrap().to_owned()
    }
}
