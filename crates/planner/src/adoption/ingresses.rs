//! Ingresses: whether one is published through another's way in, or under another's name, as rule N09 would say.

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1::{Ingress, IngressSpec};

use super::name;
use crate::objects::Nameable;

/// What is wrong with an ingress, in one sentence. Without the department's domains its hosts are not looked at.
pub(super) fn finding(
    ingress: &Ingress,
    nameable: &Nameable,
    domains: Option<&BTreeSet<String>>,
) -> Option<String> {
    let mut wrong: Vec<String> = Vec::new();
    let spec = ingress.spec.as_ref();
    let class = spec.and_then(|spec| spec.ingress_class_name.as_deref());
    let class = class.unwrap_or_default();
    if !nameable.ingress_classes.contains(class) {
        wrong.push(format!(
            "is of class {class:?}, which the zone does not offer"
        ));
    }
    let annotations = ingress.metadata.annotations.iter().flatten();
    wrong.extend(
        annotations
            .filter(|(key, _)| leads_around(key))
            .map(|(key, _)| format!("bears annotation {key}")),
    );
    if let Some(spec) = spec {
        if spec.default_backend.is_some() {
            wrong.push("has a default backend".to_owned());
        }
        if let Some(domains) = domains {
            wrong.extend(foreign(spec, domains));
        }
    }
    let name = name(&ingress.metadata);
    (!wrong.is_empty()).then(|| format!("ingress {name} {} (rule N09)", wrong.join(", ")))
}

/// Whether controllers are told by this annotation another class, further names or anything.
fn leads_around(key: &str) -> bool {
    key == "kubernetes.io/ingress.class"
        || key.contains("snippet")
        || key.contains("/server-alias")
        || key.ends_with("/host-aliases")
        || key.contains("/config-")
}

/// Names that are not the department's.
fn foreign(spec: &IngressSpec, domains: &BTreeSet<String>) -> Vec<String> {
    let rules = spec.rules.iter().flatten();
    let hosts = rules.map(|rule| rule.host.as_deref().unwrap_or_default());
    let mut wrong: Vec<String> = hosts
        .filter(|host| !is_of(host, domains))
        .map(|host| match host {
            "" => "answers for every name".to_owned(),
            host => format!("is published under {host}"),
        })
        .collect();
    let shown = spec.tls.iter().flatten();
    let shown = shown.flat_map(|tls| tls.hosts.iter().flatten());
    wrong.extend(
        shown
            .filter(|host| !is_of(host, domains))
            .map(|host| format!("shows a certificate for {host}")),
    );
    wrong
}

/// Whether a host is one of the domains or lies below one, in full.
fn is_of(host: &str, domains: &BTreeSet<String>) -> bool {
    let is_below = |domain: &String| {
        let above = host.strip_suffix(domain.as_str());
        above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
    };
    !host.contains('*') && domains.iter().any(is_below)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What is said of an ingress `web` with these annotations and this spec.
    fn told(annotations: &Value, spec: &Value) -> Option<String> {
        let ingress =
            json!({"metadata": {"name": "web", "annotations": annotations}, "spec": spec});
        let ingress: Ingress = serde_json::from_value(ingress).unwrap();
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let nameable = Nameable {
            ingress_classes: set(&["outer", "inner"]),
            ..Nameable::default()
        };
        let domains = set(&["edu.example", "school.example"]);
        finding(&ingress, &nameable, Some(&domains))
    }

    fn hosts(spec: &Value) -> Option<String> {
        let mut whole = json!({"ingressClassName": "inner"});
        for (key, value) in spec.as_object().into_iter().flatten() {
            whole[key] = value.clone();
        }
        told(&json!({}), &whole)
    }

    #[test]
    fn an_ingress_of_the_zone_under_names_of_the_department_is_nothing_to_speak_of() {
        let spec = json!({
            "rules": [{"host": "edu.example"}, {"host": "a.b.school.example"}],
            "tls": [{"hosts": ["edu.example"], "secretName": "c"}, {"secretName": "d"}],
        });
        assert_eq!(hosts(&spec), None);
        assert_eq!(hosts(&json!({})), None);
    }

    #[test]
    fn a_class_that_the_zone_does_not_name_is_named_and_so_is_none() {
        let of = |class: &Value| told(&json!({}), &json!({"ingressClassName": class})).unwrap();
        assert_eq!(
            of(&json!("public")),
            "ingress web is of class \"public\", which the zone does not offer (rule N09)"
        );
        assert!(of(&json!(null)).contains("is of class \"\""));
        let bare: Ingress = serde_json::from_value(json!({"metadata": {"name": "web"}})).unwrap();
        let none = finding(&bare, &Nameable::default(), None).unwrap();
        assert!(none.contains("is of class \"\""), "{none}");
    }

    #[test]
    fn hosts_of_others_wildcards_and_none_at_all_are_named() {
        let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
        for (spec, reason) in [
            (json!({"rules": [{}]}), "answers for every name"),
            (
                json!({"rules": [{"host": "*.edu.example"}]}),
                "is published under *.edu.example",
            ),
            (
                json!({"rules": [{"host": "notedu.example"}]}),
                "is published under notedu.example",
            ),
            (
                json!({"rules": [{"host": "example"}]}),
                "is published under example",
            ),
            (
                json!({"tls": [{"hosts": ["a.edu.example", "b.example"]}]}),
                "shows a certificate for b.example",
            ),
            (json!({"defaultBackend": backend}), "has a default backend"),
        ] {
            let expected = format!("ingress web {reason} (rule N09)");
            assert_eq!(hosts(&spec), Some(expected));
        }
    }

    #[test]
    fn annotations_that_go_around_class_and_hosts_are_named_and_others_are_not() {
        let spec = json!({"ingressClassName": "outer"});
        for key in [
            "kubernetes.io/ingress.class",
            "nginx.org/server-snippets",
            "nginx.ingress.kubernetes.io/server-snippet",
            "nginx.ingress.kubernetes.io/server-alias",
            "haproxy-ingress.github.io/server-alias-regex",
            "konghq.com/host-aliases",
            "haproxy-ingress.github.io/config-backend",
        ] {
            let expected = format!("ingress web bears annotation {key} (rule N09)");
            assert_eq!(told(&json!({(key): "a"}), &spec), Some(expected));
        }
        let plain = json!({"nginx.ingress.kubernetes.io/proxy-body-size": "8m", "note": "a"});
        assert_eq!(told(&plain, &spec), None);
    }
}
