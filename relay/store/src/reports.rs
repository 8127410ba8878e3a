//! Signed reports: a report is a row that points at its newest version, a version is never changed or removed.
//!
//! Every version carries the definitions of its templates, the images it was read on, and a digest over all of it.
//! The acknowledgement of a version is its own fact: who at the requesting site read it, when, and what was done.

use sha2::{Digest, Sha256};
use tancho_domain::access::Scope;
use tancho_domain::ids::{ReadingRequestId, ReportId, ReportVersionId, SiteId, UserId};

use crate::db::Tx;
use crate::error::{StoreError, one_row};
use crate::reading::site_of_reach;

/// A report with all its versions.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Report {
    /// Its id.
    #[sqlx(try_from = "String")]
    pub id: ReportId,
    /// The request it answers.
    #[sqlx(try_from = "String")]
    pub reading_request_id: ReadingRequestId,
    /// Number of the newest version.
    pub latest_version: i64,
    /// Status of the newest version.
    pub status: String,
    /// When the first version was signed.
    pub created_at_ms: i64,
}

/// One signed version. Documents are JSON text.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ReportVersion {
    /// Its id.
    #[sqlx(try_from = "String")]
    pub id: ReportVersionId,
    /// The report.
    #[sqlx(try_from = "String")]
    pub report_id: ReportId,
    /// From 1.
    pub version: i64,
    /// `preliminary`, `final`, `addended` or `corrected`.
    pub status: String,
    /// When.
    pub signed_at_ms: i64,
    /// Who.
    #[sqlx(try_from = "String")]
    pub reader_id: UserId,
    /// The name then.
    pub reader_name: String,
    /// Criticality the reader gave.
    pub criticality: String,
    /// What was written, JSON.
    pub body: String,
    /// What was computed from it, JSON.
    pub evaluation: String,
    /// The template definitions it was written with, JSON.
    pub templates: String,
    /// What had arrived, JSON.
    pub images_at_signing: String,
    /// The calls there were, a JSON list of ids.
    pub calls: String,
    /// Text of an addendum.
    pub addendum_text: Option<String>,
    /// Fields an addendum corrects, a JSON list.
    pub corrects_fields: String,
}

impl ReportVersion {
    /// SHA-256 over every column in order, each with its length before it, in lower-case hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        let version = self.version.to_string();
        let signed_at_ms = self.signed_at_ms.to_string();
        let fields = [
            Some(self.id.as_str()),
            Some(self.report_id.as_str()),
            Some(version.as_str()),
            Some(self.status.as_str()),
            Some(signed_at_ms.as_str()),
            Some(self.reader_id.as_str()),
            Some(self.reader_name.as_str()),
            Some(self.criticality.as_str()),
            Some(self.body.as_str()),
            Some(self.evaluation.as_str()),
            Some(self.templates.as_str()),
            Some(self.images_at_signing.as_str()),
            Some(self.calls.as_str()),
            self.addendum_text.as_deref(),
            Some(self.corrects_fields.as_str()),
        ];
        let mut hash = Sha256::new();
        hash.update(b"tancho report version 1");
        for field in fields {
            match field {
                Some(text) => {
                    hash.update([1]);
                    hash.update((text.len() as u64).to_be_bytes());
                    hash.update(text);
                }
                None => hash.update([0]),
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

macro_rules! version_columns {
    () => {
        "v.id, v.report_id, v.version, v.status, v.signed_at_ms, v.reader_id, v.reader_name, v.criticality, v.body, \
         v.evaluation, v.templates, v.images_at_signing, v.calls, v.addendum_text, v.corrects_fields"
    };
}

/// The report of a request within reach, if one was signed.
pub async fn find_report_of_request(
    tx: &mut Tx,
    scope: &Scope,
    id: &ReadingRequestId,
) -> Result<Option<Report>, StoreError> {
    fetch_optional!(
        tx,
        Report,
        "select p.id, p.reading_request_id, p.latest_version, p.status, p.created_at_ms from reports p \
         join reading_requests r on r.id = p.reading_request_id where r.network_id = $1 and r.id = $2 \
         and ($3 is null or r.requesting_site_id = $3 or r.reading_site_id = $3)",
        scope.network_id.as_str(),
        id.as_str(),
        site_of_reach(scope)
    )
}

/// One report within reach.
pub async fn get_report(tx: &mut Tx, scope: &Scope, id: &ReportId) -> Result<Report, StoreError> {
    fetch_one!(
        tx,
        Report,
        "select p.id, p.reading_request_id, p.latest_version, p.status, p.created_at_ms from reports p \
         join reading_requests r on r.id = p.reading_request_id where r.network_id = $1 and p.id = $2 \
         and ($3 is null or r.requesting_site_id = $3 or r.reading_site_id = $3)",
        scope.network_id.as_str(),
        id.as_str(),
        site_of_reach(scope)
    )
}

/// Adds the next version of a report, and the report with its first one. `Stale` when the version's number is not
/// the next: somebody else has signed meanwhile.
pub async fn add_report_version(
    tx: &mut Tx,
    scope: &Scope,
    reading_request_id: &ReadingRequestId,
    version: &ReportVersion,
) -> Result<(), StoreError> {
    crate::reading::get_reading_request(tx, scope, reading_request_id).await?;
    let moved = if version.version == 1 {
        execute!(
            tx,
            "insert into reports (id, network_id, reading_request_id, latest_version, status, created_at_ms) \
             values ($1, $2, $3, 1, $4, $5) on conflict (reading_request_id) do nothing",
            version.report_id.as_str(),
            scope.network_id.as_str(),
            reading_request_id.as_str(),
            version.status.as_str(),
            version.signed_at_ms
        )?
    } else {
        execute!(
            tx,
            "update reports set latest_version = $4, status = $5 \
             where network_id = $1 and id = $2 and reading_request_id = $3 and latest_version = $4 - 1",
            scope.network_id.as_str(),
            version.report_id.as_str(),
            reading_request_id.as_str(),
            version.version,
            version.status.as_str()
        )?
    };
    if moved == 0 {
        return Err(StoreError::Stale);
    }
    let digest = version.digest();
    execute!(
        tx,
        "insert into report_versions (id, network_id, report_id, version, status, signed_at_ms, reader_id, \
         reader_name, criticality, body, evaluation, templates, images_at_signing, calls, addendum_text, \
         corrects_fields, digest) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        version.id.as_str(),
        scope.network_id.as_str(),
        version.report_id.as_str(),
        version.version,
        version.status.as_str(),
        version.signed_at_ms,
        version.reader_id.as_str(),
        version.reader_name.as_str(),
        version.criticality.as_str(),
        version.body.as_str(),
        version.evaluation.as_str(),
        version.templates.as_str(),
        version.images_at_signing.as_str(),
        version.calls.as_str(),
        version.addendum_text.as_deref(),
        version.corrects_fields.as_str(),
        digest.as_str()
    )?;
    Ok(())
}

/// Every version of a report within reach, oldest first. `Corrupt` when one is not what was signed.
pub async fn list_report_versions(
    tx: &mut Tx,
    scope: &Scope,
    id: &ReportId,
) -> Result<Vec<ReportVersion>, StoreError> {
    let versions = fetch_all!(
        tx,
        ReportVersion,
        concat!(
            "select ",
            version_columns!(),
            " from report_versions v join reports p on p.id = v.report_id \
             join reading_requests r on r.id = p.reading_request_id where r.network_id = $1 and p.id = $2 \
             and ($3 is null or r.requesting_site_id = $3 or r.reading_site_id = $3) order by v.version"
        ),
        scope.network_id.as_str(),
        id.as_str(),
        site_of_reach(scope)
    )?;
    let digests = fetch_all!(
        tx,
        (String,),
        "select digest from report_versions where network_id = $1 and report_id = $2 order by version",
        scope.network_id.as_str(),
        id.as_str()
    )?;
    let as_signed = versions
        .iter()
        .zip(&digests)
        .all(|(version, (digest,))| version.digest() == *digest);
    if as_signed {
        Ok(versions)
    } else {
        Err(StoreError::Corrupt(
            "a report version is not what was signed".to_owned(),
        ))
    }
}

/// That somebody has read a version and acted on it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Acknowledgement {
    /// The report.
    #[sqlx(try_from = "String")]
    pub report_id: ReportId,
    /// The version that was read.
    pub version: i64,
    /// Who.
    #[sqlx(try_from = "String")]
    pub user_id: UserId,
    /// The name then.
    pub user_name: String,
    /// At which site.
    #[sqlx(try_from = "String")]
    pub site_id: SiteId,
    /// `observe`, `transfer`, `treat` or `other`.
    pub action_taken: String,
    /// In the person's words.
    pub remark: Option<String>,
    /// When.
    pub acknowledged_at_ms: i64,
}

/// Stores an acknowledgement once per person and version. `Conflict` when the person has acknowledged it already.
pub async fn add_acknowledgement(
    tx: &mut Tx,
    scope: &Scope,
    acknowledgement: &Acknowledgement,
) -> Result<(), StoreError> {
    get_report(tx, scope, &acknowledgement.report_id).await?;
    let added = execute!(
        tx,
        "insert into acknowledgements (report_id, version, user_id, network_id, user_name, site_id, action_taken, \
         remark, acknowledged_at_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         on conflict (report_id, version, user_id) do nothing",
        acknowledgement.report_id.as_str(),
        acknowledgement.version,
        acknowledgement.user_id.as_str(),
        scope.network_id.as_str(),
        acknowledgement.user_name.as_str(),
        acknowledgement.site_id.as_str(),
        acknowledgement.action_taken.as_str(),
        acknowledgement.remark.as_deref(),
        acknowledgement.acknowledged_at_ms
    )?;
    one_row(added, StoreError::Conflict)
}

/// The acknowledgements of a report within reach, oldest first.
pub async fn list_acknowledgements(
    tx: &mut Tx,
    scope: &Scope,
    id: &ReportId,
) -> Result<Vec<Acknowledgement>, StoreError> {
    fetch_all!(
        tx,
        Acknowledgement,
        "select a.report_id, a.version, a.user_id, a.user_name, a.site_id, a.action_taken, a.remark, \
         a.acknowledged_at_ms from acknowledgements a join reports p on p.id = a.report_id \
         join reading_requests r on r.id = p.reading_request_id where r.network_id = $1 and p.id = $2 \
         and ($3 is null or r.requesting_site_id = $3 or r.reading_site_id = $3) \
         order by a.acknowledged_at_ms, a.user_id",
        scope.network_id.as_str(),
        id.as_str(),
        site_of_reach(scope)
    )
}
