//! Objects that are many and read seldom, held as compressed text.
//!
//! As a structure of maps and strings an object takes five to fifteen kilobytes, as text one to five, and as compressed text
//! half of that. To make it into an object again takes some tens of microseconds.

use std::{io, marker::PhantomData, sync::Arc};

use kube::Resource;
use lz4_flex::{compress_prepend_size, decompress_size_prepended};
use serde::{Serialize, de::DeserializeOwned};

/// An object as compressed text. Clones share it.
pub(crate) struct Pressed<K> {
    text: Arc<[u8]>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Pressed<K> {
    fn clone(&self) -> Self {
        Self {
            text: Arc::clone(&self.text),
            kind: PhantomData,
        }
    }
}

impl<K: Serialize + DeserializeOwned> Pressed<K> {
    /// The object in little room. Fails where it has no form in JSON.
    pub(crate) fn of(object: &K) -> serde_json::Result<Self> {
        let text = serde_json::to_vec(object)?;
        Ok(Self {
            text: compress_prepend_size(&text).into(),
            kind: PhantomData,
        })
    }

    /// The object; it was written from one of its kind, and reads as one.
    pub(crate) fn read(&self) -> io::Result<K> {
        let text = decompress_size_prepended(&self.text).map_err(io::Error::other)?;
        Ok(serde_json::from_slice(&text)?)
    }
}

/// An object of a long list, put aside until it is looked at.
pub struct Shelved<K> {
    uid: String,
    namespace: String,
    form: Form<K>,
}

enum Form<K> {
    Pressed(Pressed<K>),
    /// Of what has no form in JSON, which no object is known to have.
    Whole(Box<K>),
}

impl<K> Shelved<K>
where
    K: Resource + Serialize + DeserializeOwned + Clone,
{
    /// Puts an object aside.
    pub fn of(object: K) -> Self {
        let meta = object.meta();
        let uid = meta.uid.clone().unwrap_or_default();
        let namespace = meta.namespace.clone().unwrap_or_default();
        let form =
            Pressed::of(&object).map_or_else(|_| Form::Whole(Box::new(object)), Form::Pressed);
        Self {
            uid,
            namespace,
            form,
        }
    }

    /// Its uid; empty where it has none.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Its namespace; empty where it has none.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The object as it was put aside. Fails where it does not read as one, which would be a fault of this program.
    pub fn read(&self) -> io::Result<K> {
        match &self.form {
            Form::Pressed(pressed) => pressed.read(),
            Form::Whole(object) => Ok((**object).clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::core::DynamicObject;
    use serde_json::{Value, json};

    use super::*;

    /// An object with all that meters read: sizes, instants, words of any language, and who wrote what.
    fn pod() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "web", "namespace": "edu--prod", "uid": "u1", "resourceVersion": "7",
                "creationTimestamp": "2027-01-01T00:00:01Z", "annotations": {"note": "测试"},
                "managedFields": [{"manager": "kubelet", "operation": "Update", "subresource": "status",
                    "time": "2027-01-01T00:00:05Z", "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:status": {"f:phase": {}}}}],
            },
            "spec": {"nodeName": "n1", "overhead": {"cpu": "250m"}, "containers": [
                {"name": "a", "resources": {"requests": {"cpu": "1500m", "memory": "1Gi"}}},
            ]},
            "status": {"phase": "Running", "startTime": "2027-01-01T00:00:03Z", "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2027-01-01T00:00:02Z"},
            ]},
        })
    }

    #[test]
    fn what_was_put_aside_is_the_same_when_it_is_read_and_takes_less_room() {
        let object: Pod = serde_json::from_value(pod()).unwrap();
        let shelved = Shelved::of(object.clone());
        assert_eq!((shelved.uid(), shelved.namespace()), ("u1", "edu--prod"));
        assert_eq!(shelved.read().unwrap(), object);
        let Form::Pressed(pressed) = &shelved.form else {
            panic!("it has a form in JSON");
        };
        assert!(pressed.text.len() < pod().to_string().len());
    }

    #[test]
    fn an_object_of_a_kind_that_is_known_by_name_alone_keeps_all_its_fields() {
        let object: DynamicObject = serde_json::from_value(pod()).unwrap();
        let read = Shelved::of(object).read().unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), pod());
    }

    #[test]
    fn what_was_damaged_is_an_error() {
        let object: Pod = serde_json::from_value(pod()).unwrap();
        let whole = Pressed::of(&object).unwrap();
        let cut = Pressed::<Pod> {
            text: whole.text[..whole.text.len() / 2].into(),
            kind: PhantomData,
        };
        assert!(cut.read().is_err());
    }
}
