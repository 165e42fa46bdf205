//! The certificates of one control plane: its authority, the server's pair, one pair per user.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};

const AUTHORITY_NAME: &str = "leasehold control plane";
/// The object identifier of organizationName.
const ORGANIZATION: [u64; 4] = [2, 5, 4, 10];

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A key or certificate file could not be read or written.
    #[error("failed to use {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A key or certificate could not be made or understood.
    #[error("failed to make the certificate of {subject}")]
    Crypto {
        /// Whose certificate.
        subject: String,
        /// What the library said.
        #[source]
        source: rcgen::Error,
    },
    /// A client certificate names the user's groups, and the library writes two at most.
    #[error(
        "failed to name {count} groups for {user}: a client certificate here holds at most two; impersonate instead"
    )]
    TooManyGroups {
        /// The user.
        user: String,
        /// How many groups were asked for.
        count: usize,
    },
}

/// A certificate and its private key, both PEM.
#[derive(Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key (PKCS #8).
    pub key: String,
}

/// The authority that signs everything in one control plane.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    /// Opens the authority in `dir` (`ca.key`, `ca.crt`), or makes a new one there. A folder that is
    /// started again keeps its authority, so that kubeconfigs made before stay valid.
    pub fn open(dir: &Path) -> Result<Self, CertificateError> {
        fs::create_dir_all(dir).map_err(|source| CertificateError::File {
            path: dir.to_owned(),
            source,
        })?;
        let (key_path, certificate_path) = (dir.join("ca.key"), dir.join("ca.crt"));
        let params = authority_params();
        if key_path.is_file() && certificate_path.is_file() {
            let key = KeyPair::from_pem(&read(&key_path)?).map_err(crypto(AUTHORITY_NAME))?;
            let certificate = read(&certificate_path)?;
            return Ok(Self {
                issuer: Issuer::new(params, key),
                certificate,
            });
        }
        let key = KeyPair::generate().map_err(crypto(AUTHORITY_NAME))?;
        let certificate = params
            .self_signed(&key)
            .map_err(crypto(AUTHORITY_NAME))?
            .pem();
        write_private(&key_path, &key.serialize_pem())?;
        write_private(&certificate_path, &certificate)?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
        })
    }

    /// The authority's own certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A serving pair for the given host names and addresses.
    pub fn serving(&self, names: &[&str]) -> Result<Pair, CertificateError> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).map_err(crypto("the server"))?;
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params, "the server")
    }

    /// A client pair: the API server reads the user's name from the common name and the groups
    /// from the organizations. At most two groups.
    pub fn client(&self, user: &str, groups: &[&str]) -> Result<Pair, CertificateError> {
        let mut name = DistinguishedName::new();
        match groups {
            [] => {}
            [one] => name.push(DnType::OrganizationName, *one),
            [one, two] => {
                // the library keeps one entry per type; the same identifier written out is another
                name.push(DnType::OrganizationName, *one);
                name.push(DnType::CustomDnType(ORGANIZATION.to_vec()), *two);
            }
            more => {
                let count = more.len();
                return Err(CertificateError::TooManyGroups {
                    user: user.to_owned(),
                    count,
                });
            }
        }
        name.push(DnType::CommonName, user);
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, user)
    }

    fn sign(&self, mut params: CertificateParams, subject: &str) -> Result<Pair, CertificateError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().map_err(crypto(subject))?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(crypto(subject))?;
        Ok(Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// Makes the key that signs service account tokens (`sa.key`, `sa.pub` in `dir`) unless it is there.
/// ECDSA P-256: the API server takes it as well as RSA.
pub fn service_account_key(dir: &Path) -> Result<(), CertificateError> {
    let (private, public) = (dir.join("sa.key"), dir.join("sa.pub"));
    if private.is_file() && public.is_file() {
        return Ok(());
    }
    let key = KeyPair::generate().map_err(crypto("service accounts"))?;
    write_private(&private, &key.serialize_pem())?;
    write_private(&public, &key.public_key_pem())
}

/// Writes a file that only its owner may read, replacing what was there.
pub fn write_private(path: &Path, text: &str) -> Result<(), CertificateError> {
    let write = || {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(|source| CertificateError::File {
        path: path.to_owned(),
        source,
    })
}

/// The same each time, so that the key alone is enough to sign again after a restart.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, AUTHORITY_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params
}

fn crypto(subject: &str) -> impl FnOnce(rcgen::Error) -> CertificateError {
    let subject = subject.to_owned();
    move |source| CertificateError::Crypto { subject, source }
}

fn read(path: &Path) -> Result<String, CertificateError> {
    fs::read_to_string(path).map_err(|source| CertificateError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_opened_again_is_the_same_one() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::open(dir.path()).unwrap();
        let second = Authority::open(dir.path()).unwrap();
        assert_eq!(first.certificate(), second.certificate());
        assert_eq!(
            first.issuer.key().serialize_pem(),
            second.issuer.key().serialize_pem()
        );
    }

    #[test]
    fn a_third_group_is_refused_instead_of_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path()).unwrap();
        assert!(authority.client("li", &["a", "b"]).is_ok());
        let refused = authority.client("li", &["a", "b", "c"]);
        assert!(matches!(
            refused,
            Err(CertificateError::TooManyGroups { count: 3, .. })
        ));
    }

    #[test]
    fn private_keys_are_readable_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        service_account_key(dir.path()).unwrap();
        let mode = fs::metadata(dir.path().join("sa.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
