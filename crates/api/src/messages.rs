//! What a refusal by a kind's own rule says: what was asked, what is allowed, what to do.
//!
//! The API server shows the value of a field that is refused, but not of an object or a list. So each rule that
//! compares values has a message that is computed from them; the plain message of the rule stands in when that fails,
//! and in the manual. `format` is used throughout: the API server cannot bound the cost of joining texts of computed
//! length, and would refuse the definition.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// Rules and the CEL expressions of their messages. Each begins as the rule's plain message does. Names are cut: the API
/// server drops a message of more than 5,000 characters.
const MESSAGES: &[(&str, &str)] = &[
    (
        "N14",
        "'rule N14: a decision repeats the number of a question that was asked anew: asked a decision on question %s, allowed on question %s; read the question, and set spec.answers together with spec.decision'.format([has(self.answers) ? string(self.answers) : 'without a number', has(self.number) ? string(self.number) : 'without a number'])",
    ),
    (
        "P01",
        "'rule P01: there is one CloudPolicy and its name is default: asked %s, allowed default; change that one'.format([self.metadata.name.substring(0, size(self.metadata.name) < 64 ? size(self.metadata.name) : 64)])",
    ),
    (
        "P02",
        "'rule P02: the time zone cannot change: asked %s, allowed %s; leave spec.timeZone as it is, statements of two zones would not join'.format([self, oldSelf])",
    ),
    (
        "P03",
        "'rule P03: the billing period cannot change: asked kind %s, allowed the period as it is, of kind %s; start a new ledger for another one'.format([self.kind, oldSelf.kind])",
    ),
    (
        "P04",
        "'rule P04: rehearsalSeconds belongs to kind Rehearsal, and only to it: asked kind %s with rehearsalSeconds %s, allowed both or neither; set spec.period.rehearsalSeconds to 60 to 86400 or take it away'.format([self.kind, has(self.rehearsalSeconds) ? string(self.rehearsalSeconds) : 'missing'])",
    ),
    (
        "P05",
        "'rule P05: users and groups of the control plane (system:) cannot act for an agency: asked %s, allowed people and their groups; name the users of the agency'.format([(self.users + self.groups).filter(n, n.startsWith('system:'))])",
    ),
    (
        "P10",
        "'rule P10: this version carries tenancies on its own cluster only: asked %s, allowed self; name the cloudlet self'.format([self.metadata.name.substring(0, size(self.metadata.name) < 64 ? size(self.metadata.name) : 64)])",
    ),
    (
        "P11",
        "'rule P11: the provider cannot change: asked %s, allowed %s; leave spec.provider as it is, bills of two payees would mix'.format([self, oldSelf])",
    ),
    (
        "P20",
        "'rule P20: a zone cannot move to another network: asked %s, allowed %s; make a new zone and move the systems'.format([self, oldSelf])",
    ),
    (
        "U01",
        "'rule U01: a suspension gives its reason: asked one of %s without, allowed with a reason; set spec.reason'.format([self.tenancy])",
    ),
    (
        "U02",
        "'rule U02: tenancy, reason and authority of a suspension cannot change: asked %s by %s, allowed %s by %s and the reason as it was; change spec.until alone, or delete it and order another'.format([self.tenancy, self.authority, oldSelf.tenancy, oldSelf.authority])",
    ),
    (
        "U03",
        "'rule U03: the last day of a suspension is a day of the calendar: asked %s, allowed a day that exists; correct spec.until'.format([self.until])",
    ),
    (
        "E05",
        "'rule E05: what a meter counts cannot change: asked %s by %s, allowed %s by %s as it was declared; declare another meter under another name and price that'.format([self.resource, self.unit, oldSelf.resource, oldSelf.unit])",
    ),
    (
        "E06",
        "'rule E06: a meter counts no kind that is metered, kept secret or written all the time: asked %s of group %s, allowed other kinds than pods, persistentvolumeclaims, secrets, configmaps, events, namespaces and those of leasehold; name another kind in spec.resource'.format([self.resource, self.group == '' ? 'core' : self.group])",
    ),
    (
        "E07",
        "'rule E07: a quantity is one of path, countOf and deviceClass, and only a path has another unit than Count: asked path %s, countOf %s and deviceClass %s by %s, allowed one of them, times with path alone, deviceClass of resourceclaims, and none of them by Count; correct spec.quantity and spec.unit'.format([has(self.quantity) && has(self.quantity.path) ? self.quantity.path : 'none', has(self.quantity) && has(self.quantity.countOf) ? self.quantity.countOf : 'none', has(self.quantity) && has(self.quantity.deviceClass) ? self.quantity.deviceClass : 'none', self.unit])",
    ),
    (
        "D01",
        "\"rule D01: a department's code is a DNS label of at most 30 characters without two dashes in a row: asked %s, allowed a code such as gov-office; choose another code\".format([self.metadata.name.substring(0, size(self.metadata.name) < 64 ? size(self.metadata.name) : 64)])",
    ),
    (
        "D02",
        "'rule D02: users and groups of the control plane (system:) cannot administer a department: asked %s, allowed people and their groups; name users and groups of the department'.format([self.filter(a, a.name.startsWith('system:')).map(a, a.name)])",
    ),
    (
        "D05",
        "'rule D05: a department is not below itself: asked spec.parent %s, allowed the code of another department, or none; name the department above it in spec.parent, or leave it out'.format([self.spec.parent])",
    ),
    (
        "S01",
        "\"rule S01: a system's name has at most 40 characters: asked %s of %s characters, allowed 40; choose a shorter name\".format([self.metadata.name.substring(0, size(self.metadata.name) < 64 ? size(self.metadata.name) : 64), string(size(self.metadata.name))])",
    ),
    (
        "S02",
        "'rule S02: cost shares add up to 100: asked %s together, allowed 100; correct spec.costShares'.format([string(self.map(s, s.percent).sum())])",
    ),
    (
        "T01",
        "\"rule T01: a tenancy's name has at most 40 characters: asked %s of %s characters, allowed 40; choose a shorter name\".format([self.metadata.name.substring(0, size(self.metadata.name) < 64 ? size(self.metadata.name) : 64), string(size(self.metadata.name))])",
    ),
    (
        "T03",
        "'rule T03: this tenancy is being released: asked a change of %s, allowed none, and to take the release back only after the office has rejected it; wait until it is Released and lease anew'.format([self.metadata.name])",
    ),
    (
        "T58",
        "'rule T58: a sign-off is of a release, and none is asked for: asked spec.signOff without spec.release, allowed with it; take spec.signOff away until the release is asked for'",
    ),
    (
        "T55",
        "'rule T55: a backup that was taken says where, one that was not says why: asked taken %s without that, allowed uri where it was taken and because where it was not; set spec.release.backup.uri or spec.release.backup.because'.format([self.taken ? 'true' : 'false'])",
    ),
    (
        "T04",
        "'rule T04: a namespace shares an item that the lease does not hold: asked %s, allowed %s; add it to spec.lease or take it out of the share'.format([self.namespaces.map(n, n.share.filter(k, !self.lease.exists(l, l.item == k))), [self.lease.map(l, l.item)]])",
    ),
    (
        "T54",
        "'rule T54: a floor names an item that the lease does not hold: asked %s, allowed %s; add it to spec.lease or take it out of the floor'.format([self.namespaces.map(n, has(n.floor) ? n.floor.filter(k, !self.lease.exists(l, l.item == k)) : []), [self.lease.map(l, l.item)]])",
    ),
    (
        "T05",
        "'rule T05: the term ends before it begins: asked %s through %s, allowed a last day on or after the first; correct spec.term'.format([self.term.from, self.term.through])",
    ),
    (
        "T06",
        "'rule T06: effectiveFrom lies outside the term: asked %s, allowed %s through %s; choose a day of the term'.format([self.effectiveFrom, self.term.from, self.term.through])",
    ),
    (
        "T07",
        "'rule T07: a tenancy keeps its system: asked %s, allowed %s; lease a new tenancy for another system'.format([self, oldSelf])",
    ),
    (
        "T08",
        "'rule T08: a tenancy keeps its zone: asked %s, allowed %s; lease a new tenancy in the other zone and move'.format([self, oldSelf])",
    ),
    (
        "T09",
        "'rule T09: a tenancy keeps its cloudlet: asked %s, allowed %s; lease a new tenancy on the other cloudlet and move'.format([self, oldSelf])",
    ),
    (
        "T10",
        "'rule T10: a member is either a user or a group: asked user %s and group %s, allowed exactly one of both; take one away or name one'.format([has(self.user) ? self.user : 'none', has(self.group) ? self.group : 'none'])",
    ),
    (
        "T11",
        "'rule T11: users and groups of the control plane (system:) cannot be members: asked user %s and group %s, allowed people and their groups; name users and groups of the department'.format([has(self.user) ? self.user : 'none', has(self.group) ? self.group : 'none'])",
    ),
    (
        "T45",
        "'rule T45: what is not accepted is given back with a reason: asked accepted false without one, allowed with a reason; set spec.acceptance.reason'",
    ),
    (
        "T46",
        "'rule T46: an acceptance cannot be taken back: asked %s, allowed accepted true for request %s; leave spec.acceptance as it is, or release the tenancy'.format([has(self.acceptance) ? 'accepted false' : 'none', string(oldSelf.acceptance.request)])",
    ),
    (
        "H00",
        "\"rule H00: a contribution's name has at most 40 characters: asked %s of %s characters, allowed 40; choose a shorter name\".format([self.metadata.name.substring(0, size(self.metadata.name) < 64 ? size(self.metadata.name) : 64), string(size(self.metadata.name))])",
    ),
    (
        "H02",
        "'rule H02: a device cannot be accepted before it was invoiced: asked acceptance on %s, allowed %s or later; correct the dates of the device'.format([self.acceptedOn, self.invoiceDate])",
    ),
    (
        "H04",
        "'rule H04: the appraisal ends before its base date: asked %s through %s, allowed a last day on or after the base date; correct spec.baseDate or spec.validThrough'.format([self.baseDate, self.validThrough])",
    ),
    (
        "H05",
        "'rule H05: two different persons sign an appraisal: asked %s, allowed every name once; let a second person sign'.format([self])",
    ),
    (
        "B01",
        "\"rule B01: a price book's name has at most 63 characters: asked %s of %s characters, allowed 63; choose a shorter name\".format([self.metadata.name.substring(0, size(self.metadata.name) < 64 ? size(self.metadata.name) : 64), string(size(self.metadata.name))])",
    ),
    (
        "B02",
        "'rule B02: the prices end before they begin: asked %s through %s, allowed a last day on or after the first; correct spec.validity'.format([self.validity.from, self.validity.through])",
    ),
    (
        "B04",
        "'rule B04: the last day of a price book can only move earlier: asked %s, allowed %s or earlier; load a new book for later days'.format([self.validity.through, oldSelf.validity.through])",
    ),
    (
        "B05",
        "'rule B05: prices include tax: asked included false, allowed true; write gross prices'",
    ),
    (
        "B06",
        "\"rule B06: an item is either a resource or a storage class or a meter's: asked resource %s, storageClass %s and meter %s for %s, allowed one of them; keep one of them\".format([has(self.resource) ? self.resource : 'none', has(self.storageClass) ? self.storageClass : 'none', has(self.meter) ? self.meter : 'none', self.name])",
    ),
    (
        "B07",
        "'rule B07: storage is sold by the GiB (2^30 bytes): asked %s for %s, allowed GiB; set unit to GiB and convert the price'.format([self.unit, self.name])",
    ),
    (
        "B08",
        "'rule B08: a one-off item is priced per Once, and only such an item: asked basis %s per %s for %s, allowed OneOff with Once; set basis and per together'.format([self.basis, self.per, self.name])",
    ),
    (
        "B09",
        "'rule B09: a metered item names the resource or storage class or meter, and no other item names a meter: asked basis %s with meter %s for %s, allowed basis Metered with one of resource, storageClass and meter; set one of them with basis Metered'.format([self.basis, has(self.meter) ? self.meter : 'none', self.name])",
    ),
    (
        "B14",
        "'rule B14: only gaps are accepted or estimated: asked treatment %s of a %s, allowed of a Gap; leave spec.treatment out'.format([self.treatment, self.subject.kind])",
    ),
    (
        "B15",
        "'rule B15: what is billed of gaps is said together with the decision on them: asked treatment %s without a decision, allowed with one; set spec.treatment together with spec.decision'.format([self.treatment])",
    ),
    (
        "A03",
        "'rule A03: a rejection gives its reason: asked Rejected without one, allowed with a reason; set spec.reason'",
    ),
    (
        "A04",
        "'rule A04: decidedBy is stamped by the API server when a decision is written: asked %s without a decision, allowed none; leave spec.decidedBy out'.format([self.decidedBy])",
    ),
    (
        "C01",
        "\"rule C01: finance's word to close a period cannot be taken back: asked close false for %s, allowed true; leave spec.close as it is\".format([self.metadata.name])",
    ),
    (
        "C02",
        "'rule C02: a final statement cannot change: asked a change of %s, allowed none; leave it; what comes late is counted on the BillingPeriod'.format([self.metadata.name])",
    ),
];

/// Gives the rules of a schema, and of everything below it, their computed messages.
pub(crate) fn compute(schema: &mut JSONSchemaProps) {
    for rule in schema.x_kubernetes_validations.iter_mut().flatten() {
        rule.message_expression = rule.message.as_deref().and_then(expression);
    }
    let properties = schema.properties.iter_mut();
    properties
        .flat_map(|map| map.values_mut())
        .for_each(compute);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = schema.items.as_mut() {
        compute(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = schema.additional_properties.as_mut() {
        compute(values);
    }
}

fn expression(message: &str) -> Option<String> {
    let id = message.strip_prefix("rule ")?.get(..3)?;
    let (_, expression) = MESSAGES.iter().find(|(known, _)| *known == id)?;
    Some((*expression).to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    /// Plain and computed message of every rule of the kinds, by id.
    fn rules() -> BTreeMap<String, (String, Option<String>)> {
        fn walk(value: &Value, found: &mut BTreeMap<String, (String, Option<String>)>) {
            match value {
                Value::Object(fields) => {
                    if let Some(rules) = fields.get("x-kubernetes-validations") {
                        for rule in rules.as_array().unwrap() {
                            let text = |key: &str| rule[key].as_str().map(str::to_owned);
                            let message = text("message").unwrap();
                            let id = message["rule ".len()..][..3].to_owned();
                            found.insert(id, (message, text("messageExpression")));
                        }
                    }
                    fields.values().for_each(|value| walk(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| walk(value, found)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        let mut found = BTreeMap::new();
        let definitions = serde_json::to_value(crate::definitions()).unwrap();
        walk(&definitions, &mut found);
        found
    }

    #[test]
    fn every_rule_says_what_to_do_and_those_that_compare_values_say_them() {
        let rules = rules();
        assert!(rules.len() > 40, "only {} rules", rules.len());
        let mut plain = Vec::new();
        for (id, (message, computed)) in &rules {
            assert!(
                message.contains("; "),
                "{id} says not what to do: {message}"
            );
            let Some(computed) = computed else {
                plain.push(id.as_str());
                continue;
            };
            for part in [": asked ", ", allowed ", "; "] {
                assert!(computed.contains(part), "{id} lacks {part:?}: {computed}");
            }
        }
        // these refuse any change of what has been decided, offered or proven
        let unchangeable = ["A01", "A02", "B03", "H13", "H21", "H22", "H23"];
        assert_eq!(plain, unchangeable);
        assert_eq!(rules.len(), MESSAGES.len() + unchangeable.len());
    }

    #[test]
    fn a_computed_message_begins_as_the_plain_one_does() {
        for (id, (message, computed)) in rules() {
            let Some(computed) = computed else { continue };
            let (computed, _) = computed[1..].split_once(": asked ").unwrap();
            assert!(
                message.starts_with(computed),
                "{id}: {computed:?} and {message:?}"
            );
        }
    }

    #[test]
    fn every_place_in_a_message_is_filled() {
        for (id, expression) in MESSAGES {
            let places = expression.matches("%s").count();
            let filled = expression.contains(".format([");
            assert_eq!(places > 0, filled, "{id}: {expression}");
        }
    }
}
