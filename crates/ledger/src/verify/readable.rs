//! Documents that nothing which is recomputed depends on.

use super::{Finding, Row, doc};
use crate::document::{
    ClusterDoc, DepartmentLifeDoc, Document, EffectiveDoc, IncarnationDoc, NamespaceDoc,
    NamespaceGoneDoc, QuestionDoc, ReleaseDoc, SnapshotGoneDoc, SnapshotRetainedDoc, SuspensionDoc,
    VolumeGoneDoc, VolumeRetainedDoc,
};

/// Documents that nothing depends on must be readable all the same.
pub(super) fn readable(kind: &str, row: &Row) -> Result<(), Finding> {
    match kind {
        ClusterDoc::KIND => doc::<ClusterDoc>(row).map(drop),
        DepartmentLifeDoc::KIND => doc::<DepartmentLifeDoc>(row).map(drop),
        IncarnationDoc::KIND => doc::<IncarnationDoc>(row).map(drop),
        EffectiveDoc::KIND => doc::<EffectiveDoc>(row).map(drop),
        NamespaceDoc::KIND => doc::<NamespaceDoc>(row).map(drop),
        NamespaceGoneDoc::KIND => doc::<NamespaceGoneDoc>(row).map(drop),
        QuestionDoc::KIND => doc::<QuestionDoc>(row).map(drop),
        ReleaseDoc::KIND => doc::<ReleaseDoc>(row).map(drop),
        VolumeRetainedDoc::KIND => doc::<VolumeRetainedDoc>(row).map(drop),
        VolumeGoneDoc::KIND => doc::<VolumeGoneDoc>(row).map(drop),
        SnapshotRetainedDoc::KIND => doc::<SnapshotRetainedDoc>(row).map(drop),
        SnapshotGoneDoc::KIND => doc::<SnapshotGoneDoc>(row).map(drop),
        SuspensionDoc::KIND => doc::<SuspensionDoc>(row).map(drop),
        other => {
            let expected = "a kind that this version knows";
            Err(Finding::new(
                row.chain.seq,
                "kind of document",
                expected,
                other,
            ))
        }
    }
}
