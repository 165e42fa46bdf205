//! What a document is listed by, told from its text. The column that holds it lies beside the text, and the text's digest
//! does not cover it.

use super::{
    AcceptanceDoc, ArchiveDoc, BookDoc, ClusterDoc, DecisionDoc, DeliveredDoc, DepartmentDoc,
    DepartmentLifeDoc, Document, EffectiveDoc, GapAcceptedDoc, GapDoc, IncarnationDoc, LotDoc,
    NamespaceDoc, NamespaceGoneDoc, PeriodCloseDoc, PeriodOpenDoc, PolicyDoc, QuestionDoc,
    ReleaseDoc, RequestDoc, SerialDoc, SerialFreedDoc, SnapshotGoneDoc, SnapshotRetainedDoc,
    SuspensionDoc, VolumeGoneDoc, VolumeRetainedDoc,
};
use crate::statement::Statement;

/// What the document of this kind with this text is listed by; none for a kind that this version does not know.
pub fn listed_by(kind: &str, body: &str) -> Option<Result<String, serde_json::Error>> {
    let listed = match kind {
        AcceptanceDoc::KIND => of::<AcceptanceDoc>(body),
        ArchiveDoc::KIND => of::<ArchiveDoc>(body),
        BookDoc::KIND => of::<BookDoc>(body),
        ClusterDoc::KIND => of::<ClusterDoc>(body),
        DecisionDoc::KIND => of::<DecisionDoc>(body),
        DeliveredDoc::KIND => of::<DeliveredDoc>(body),
        DepartmentDoc::KIND => of::<DepartmentDoc>(body),
        DepartmentLifeDoc::KIND => of::<DepartmentLifeDoc>(body),
        EffectiveDoc::KIND => of::<EffectiveDoc>(body),
        GapAcceptedDoc::KIND => of::<GapAcceptedDoc>(body),
        GapDoc::KIND => of::<GapDoc>(body),
        IncarnationDoc::KIND => of::<IncarnationDoc>(body),
        LotDoc::KIND => of::<LotDoc>(body),
        NamespaceDoc::KIND => of::<NamespaceDoc>(body),
        NamespaceGoneDoc::KIND => of::<NamespaceGoneDoc>(body),
        PeriodCloseDoc::KIND => of::<PeriodCloseDoc>(body),
        PeriodOpenDoc::KIND => of::<PeriodOpenDoc>(body),
        PolicyDoc::KIND => of::<PolicyDoc>(body),
        QuestionDoc::KIND => of::<QuestionDoc>(body),
        ReleaseDoc::KIND => of::<ReleaseDoc>(body),
        RequestDoc::KIND => of::<RequestDoc>(body),
        SerialDoc::KIND => of::<SerialDoc>(body),
        SerialFreedDoc::KIND => of::<SerialFreedDoc>(body),
        SnapshotGoneDoc::KIND => of::<SnapshotGoneDoc>(body),
        SnapshotRetainedDoc::KIND => of::<SnapshotRetainedDoc>(body),
        Statement::KIND => of::<Statement>(body),
        SuspensionDoc::KIND => of::<SuspensionDoc>(body),
        VolumeGoneDoc::KIND => of::<VolumeGoneDoc>(body),
        VolumeRetainedDoc::KIND => of::<VolumeRetainedDoc>(body),
        _ => return None,
    };
    Some(listed)
}

fn of<D: Document>(body: &str) -> Result<String, serde_json::Error> {
    serde_json::from_str::<D>(body).map(|document| document.subject())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::canonical_json;
    use crate::time::Second;

    #[test]
    fn the_text_of_a_document_tells_what_it_is_listed_by() {
        let effective = EffectiveDoc {
            department: "gov-office".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 1,
            request: 3,
            not_before: Second::new(0),
            at: Second::new(7),
        };
        let body = canonical_json(&effective).unwrap();
        let listed = listed_by("effective", &body).unwrap().unwrap();
        assert_eq!(listed, "gov-office/oa");
        assert!(listed_by("effective", "{}").unwrap().is_err());
        assert!(listed_by("note", &body).is_none());
    }
}
