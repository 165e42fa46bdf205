//! The people of the tests. Their roles come from `examples/values.yaml`, their departments from the
//! operator.

/// Somebody who acts on the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum User<'a> {
    /// The cluster's administrator: makes what no role of the chart makes (nodes, storage classes).
    Admin,
    /// The e-government office.
    Office,
    /// A person of finance, by name: `sun@finance` or `qian@finance`.
    Finance(&'a str),
    /// The data centre.
    DataCentre,
    /// The appraiser of the accredited agency `zhongheng`.
    Appraiser,
    /// An appraiser with the chart's role whose agency the policy does not list.
    StrangeAppraiser,
    /// An auditor.
    Auditor,
    /// Staff of the department with this code, through its group `CODE-admins`.
    Department(&'a str),
    /// Somebody of the department with this code who holds none of its rights.
    Outsider(&'a str),
}

impl User<'_> {
    /// The first person of finance.
    pub const SUN: User<'static> = User::Finance("sun@finance");
    /// The second person of finance.
    pub const QIAN: User<'static> = User::Finance("qian@finance");

    /// The name, as the API server sees it.
    pub fn name(&self) -> String {
        match self {
            Self::Admin => "leasehold:admin".to_owned(),
            Self::Office => "chen@office".to_owned(),
            Self::Finance(name) => (*name).to_owned(),
            Self::DataCentre => "zhao@idc".to_owned(),
            Self::Appraiser => "li@zhongheng".to_owned(),
            Self::StrangeAppraiser => "he@hengxin".to_owned(),
            Self::Auditor => "zhou@audit".to_owned(),
            Self::Department(code) => format!("zhang@{code}"),
            Self::Outsider(code) => format!("wu@{code}"),
        }
    }

    /// The groups that come with the certificate.
    pub fn groups(&self) -> Vec<String> {
        match self {
            Self::Department(code) => vec![group(code)],
            Self::Admin
            | Self::Office
            | Self::Finance(_)
            | Self::DataCentre
            | Self::Appraiser
            | Self::StrangeAppraiser
            | Self::Auditor
            | Self::Outsider(_) => Vec::new(),
        }
    }
}

/// The group of a department's administrators.
pub fn group(code: &str) -> String {
    format!("{code}-admins")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staff_of_two_departments_share_neither_name_nor_group() {
        let (edu, health) = (User::Department("edu"), User::Department("health"));
        assert_ne!(edu.name(), health.name());
        assert_eq!(edu.groups(), ["edu-admins"]);
        assert_eq!(health.groups(), ["health-admins"]);
        assert!(User::Outsider("edu").groups().is_empty());
    }
}
