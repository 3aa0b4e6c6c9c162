//! The web configuration file, in the form that Prometheus's tools share: only its `tls_server_config` is understood. Why
//! that form: the estate's other servers have one already. What it may also hold (users with hashed passwords, headers) is
//! refused by name, so that nobody believes it to be in force. Certificates are read when the server starts, not here.

use std::path::Path;

use super::complaint::{Complaint, Complaints, Severity};
use super::files;
use super::lower::{may, need, need_text, path_from};
use super::settings::TlsSettings;
use super::written::daemon::{WrittenClientAuth, WrittenWeb};
use super::yaml::{Bytes, Document, Placed, Reader};

/// Reads the file that `runbookd.yaml` names; `at` is where it does.
pub fn read(complaints: &mut Complaints, naming: &Document, dir: &Path, path: &str, at: Bytes) -> Option<TlsSettings> {
    let path = path_from(dir, path);
    let mut trouble = Complaints::default();
    let shown = path.display().to_string();
    let Some(document) = files::read(&mut trouble, &path, &shown) else {
        for complaint in trouble.iter() {
            let Complaint { message, mend, .. } = complaint;
            naming.complain(at.clone(), format!("the web configuration file {shown}: {message}"), mend.clone());
        }
        return None;
    };
    let settings = tls(&document, path.parent().unwrap_or(dir));
    complaints.add_file(document.name(), document.text(), document.take_complaints());
    settings
}

fn tls(document: &Document, base: &Path) -> Option<TlsSettings> {
    let placed: Placed<WrittenWeb> = Reader::new(document, document.root()?).read()?;
    let web = placed.get()?;
    let written = need(document, placed.at(), &web.tls_server_config, "tls_server_config")?;
    let within = web.tls_server_config.at();
    let certificate = need_text(document, within.clone(), &written.cert_file, "cert_file");
    let key = need_text(document, within.clone(), &written.key_file, "key_file");
    let demanded = may(&written.client_auth_type) == Some(&WrittenClientAuth::RequireAndVerifyClientCert);
    let client_ca = may(&written.client_ca_file).map(|path| path_from(base, path));
    if demanded && written.client_ca_file.is_none() {
        document.complain(
            within,
            "clients must show a certificate, and nothing says who may have signed it",
            "add `client_ca_file:`",
        );
    } else if !demanded && let Some(placed) = &written.client_ca_file {
        document.say(
            Severity::Warning,
            placed.at(),
            "no client is asked for a certificate, so this file is not used",
            "add `client_auth_type: RequireAndVerifyClientCert`",
        );
    }
    Some(TlsSettings {
        certificate: path_from(base, certificate?),
        key: path_from(base, key?),
        client_ca: client_ca.filter(|_| demanded),
    })
}
