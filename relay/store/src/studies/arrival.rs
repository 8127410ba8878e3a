//! An instance arrives in two steps: its head (`begin_instance`), and the whole (`verify_instance`).

use tancho_domain::dicom::{
    Priority, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use tancho_domain::ids::{InstanceId, NetworkId, SeriesId, SiteId, StudyId};
use tancho_domain::search_key::patient_key;

use super::Origin;
use super::manifest::copy_manifest;
use crate::db::Tx;
use crate::error::StoreError;

/// Attributes of the study and its patient, decoded from the first head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StudyFacts {
    /// (0010,0020); empty when absent.
    pub patient_id: String,
    /// (0010,0021).
    pub issuer_of_patient_id: Option<String>,
    /// (0010,0010), first group.
    pub patient_name_alphabetic: String,
    /// (0010,0010), second group.
    pub patient_name_ideographic: String,
    /// (0010,0010), third group.
    pub patient_name_phonetic: String,
    /// Whether characters of the name could not be decoded for sure.
    pub patient_name_uncertain: bool,
    /// (0010,0030), YYYYMMDD.
    pub patient_birth_date: Option<String>,
    /// (0010,0040).
    pub patient_sex: Option<String>,
    /// (0008,0020), YYYYMMDD.
    pub study_date: Option<String>,
    /// (0008,0030).
    pub study_time: Option<String>,
    /// (0008,0050).
    pub accession_number: Option<String>,
    /// (0008,1030).
    pub study_description: Option<String>,
    /// (0008,0080).
    pub institution: Option<String>,
    /// Tags of the texts among these that the declared character sets do not explain, separated by commas.
    pub uncertain_elements: String,
}

impl StudyFacts {
    fn search_key(&self) -> String {
        let name = [
            self.patient_name_alphabetic.as_str(),
            &self.patient_name_ideographic,
            &self.patient_name_phonetic,
        ];
        let accession_number = self.accession_number.as_deref().unwrap_or_default();
        patient_key(name, &[&self.patient_id, accession_number])
    }
}

/// Attributes of the series, decoded from its first head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesFacts {
    /// (0008,0060); empty when absent.
    pub modality: String,
    /// (0020,0011).
    pub series_number: Option<i64>,
    /// (0008,103E).
    pub series_description: Option<String>,
    /// (0018,0015).
    pub body_part: Option<String>,
    /// (0008,1010).
    pub station_name: Option<String>,
    /// (0008,0070).
    pub manufacturer: Option<String>,
    /// Tags of the texts among these that the declared character sets do not explain, separated by commas.
    pub uncertain_elements: String,
}

/// Attributes of the instance, decoded from its head, and what the offer said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceFacts {
    /// (0008,0018).
    pub sop_instance_uid: SopInstanceUid,
    /// (0008,0016).
    pub sop_class_uid: SopClassUid,
    /// How the data set came to the agent.
    pub transfer_syntax_uid: TransferSyntaxUid,
    /// SHA-256 of the container, lower-case hexadecimal.
    pub container_sha256: String,
    /// Bytes of the container.
    pub container_len: i64,
    /// SHA-256 of the data set, lower-case hexadecimal.
    pub original_sha256: String,
    /// Bytes of the data set.
    pub original_len: i64,
    /// Who sent it to the agent.
    pub calling_ae: String,
    /// Which title of the agent it was sent to.
    pub called_ae: String,
    /// (0020,0013).
    pub instance_number: Option<i64>,
    /// (0028,0008); 0 without pixels.
    pub number_of_frames: i64,
    /// (0028,0010).
    pub frame_rows: Option<i64>,
    /// (0028,0011).
    pub frame_columns: Option<i64>,
    /// Codes of scan warnings, separated by commas.
    pub warnings: String,
    /// When the agent had it durable, by the agent's clock.
    pub sent_received_at_ms: i64,
}

/// An instance whose head has come.
#[derive(Debug, Clone)]
pub struct ArrivingInstance<'a> {
    /// Its study by the data set.
    pub study_instance_uid: &'a StudyInstanceUid,
    /// Its series by the data set.
    pub series_instance_uid: &'a SeriesInstanceUid,
    /// How soon it is needed.
    pub priority: Priority,
    /// For the study, if it is new.
    pub study: &'a StudyFacts,
    /// For the series, if it is new.
    pub series: &'a SeriesFacts,
    /// For the instance.
    pub instance: &'a InstanceFacts,
    /// Ids made at the edge for whatever turns out to be new.
    pub new_ids: (StudyId, SeriesId, InstanceId),
}

/// Where an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceState {
    /// Its head is here.
    Arriving,
    /// It is whole, durable, and rebuilt to the original digest.
    Verified,
    /// It came under the study of another patient and is kept aside.
    Held,
}

impl TryFrom<String> for InstanceState {
    type Error = StoreError;

    fn try_from(text: String) -> Result<Self, StoreError> {
        match text.as_str() {
            "arriving" => Ok(Self::Arriving),
            "verified" => Ok(Self::Verified),
            "held" => Ok(Self::Held),
            _ => Err(StoreError::Corrupt("instance state".to_owned())),
        }
    }
}

/// What a revision is to the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It is the first.
    First,
    /// The same elements, encoded in another way.
    Reencoding,
    /// Other content under the same SOP Instance UID.
    Conflict,
}

impl Relation {
    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Reencoding => "reencoding",
            Self::Conflict => "conflict",
        }
    }
}

impl TryFrom<String> for Relation {
    type Error = StoreError;

    fn try_from(text: String) -> Result<Self, StoreError> {
        match text.as_str() {
            "first" => Ok(Self::First),
            "reencoding" => Ok(Self::Reencoding),
            "conflict" => Ok(Self::Conflict),
            _ => Err(StoreError::Corrupt("relation of a revision".to_owned())),
        }
    }
}

/// What became of a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrivedInstance {
    /// The study's id.
    pub study_id: StudyId,
    /// Whether this head made the study.
    pub study_is_new: bool,
    /// The instance's id.
    pub instance_id: InstanceId,
    /// Whether this head made the instance.
    pub instance_is_new: bool,
    /// 1 for the one displayed.
    pub revision: i64,
    /// Whether it is kept aside because the patient differs.
    pub held: bool,
}

/// An instance of which at least the head is known.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct KnownInstance {
    /// Its id.
    #[sqlx(try_from = "String")]
    pub id: InstanceId,
    /// Its study.
    #[sqlx(try_from = "String")]
    pub study_id: StudyId,
    /// Where it stands.
    #[sqlx(try_from = "String")]
    pub state: InstanceState,
    /// 1 for the one displayed.
    pub revision: i64,
    /// What it is to revision 1.
    #[sqlx(try_from = "String")]
    pub relation: Relation,
    /// SHA-256 of the container, lower-case hexadecimal.
    pub container_sha256: String,
    /// SHA-256 of the data set, lower-case hexadecimal.
    pub original_sha256: String,
    /// How the data set came.
    #[sqlx(try_from = "String")]
    pub transfer_syntax_uid: TransferSyntaxUid,
    /// When it was whole and durable; none while it arrives.
    pub verified_at_ms: Option<i64>,
}

/// The instance of this site with this container, if its head has come.
pub async fn find_by_container(
    tx: &mut Tx,
    origin: &Origin,
    container_sha256: &str,
) -> Result<Option<KnownInstance>, StoreError> {
    fetch_optional!(
        tx,
        KnownInstance,
        "select id, study_id, state, revision, relation, container_sha256, original_sha256, transfer_syntax_uid, \
         verified_at_ms from instances where network_id = $1 and site_id = $2 and container_sha256 = $3",
        origin.network_id.as_str(),
        origin.site_id.as_str(),
        container_sha256
    )
}

/// The first whole revision of a SOP Instance UID of this site, if there is one.
pub async fn find_first_revision(
    tx: &mut Tx,
    origin: &Origin,
    uid: &SopInstanceUid,
) -> Result<Option<KnownInstance>, StoreError> {
    fetch_optional!(
        tx,
        KnownInstance,
        "select id, study_id, state, revision, relation, container_sha256, original_sha256, transfer_syntax_uid, \
         verified_at_ms from instances where network_id = $1 and site_id = $2 and sop_instance_uid = $3 \
         and verified_at_ms is not null order by revision limit 1",
        origin.network_id.as_str(),
        origin.site_id.as_str(),
        uid.as_str()
    )
}

/// A whole instance of this site with this SOP Instance UID and this original, however its container is coded.
pub async fn find_by_original(
    tx: &mut Tx,
    origin: &Origin,
    uid: &SopInstanceUid,
    original_sha256: &str,
) -> Result<Option<KnownInstance>, StoreError> {
    fetch_optional!(
        tx,
        KnownInstance,
        "select id, study_id, state, revision, relation, container_sha256, original_sha256, transfer_syntax_uid, \
         verified_at_ms from instances where network_id = $1 and site_id = $2 and sop_instance_uid = $3 \
         and original_sha256 = $4 and verified_at_ms is not null order by revision limit 1",
        origin.network_id.as_str(),
        origin.site_id.as_str(),
        uid.as_str(),
        original_sha256
    )
}

/// The containers of a series of this site, arriving or whole, in the order their heads came.
pub async fn list_containers_of_series(
    tx: &mut Tx,
    origin: &Origin,
    (study, series): (&StudyInstanceUid, &SeriesInstanceUid),
    limit: i64,
) -> Result<Vec<String>, StoreError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "select i.container_sha256 from instances i join studies s on s.id = i.study_id \
         join series e on e.id = i.series_id where s.network_id = $1 and s.site_id = $2 \
         and s.study_instance_uid = $3 and e.series_instance_uid = $4 \
         order by i.first_arrival_at_ms, i.id limit $5",
        origin.network_id.as_str(),
        origin.site_id.as_str(),
        study.as_str(),
        series.as_str(),
        limit
    )?;
    Ok(rows
        .into_iter()
        .map(|(container_sha256,)| container_sha256)
        .collect())
}

/// The instance of a site with this container and its network, over all networks: what a restart compares with the
/// incoming folder.
pub async fn find_instance_of_site(
    tx: &mut Tx,
    site_id: &SiteId,
    container_sha256: &str,
) -> Result<Option<(NetworkId, Option<i64>)>, StoreError> {
    let row = fetch_optional!(
        tx,
        (String, Option<i64>),
        "select network_id, verified_at_ms from instances where site_id = $1 and container_sha256 = $2",
        site_id.as_str(),
        container_sha256
    )?;
    row.map(|(network_id, verified_at_ms)| Ok((NetworkId::parse(&network_id)?, verified_at_ms)))
        .transpose()
}

/// Records a head: the study, series and instance rows appear so that lists fill early.
///
/// The same container again changes nothing. Another container under the same SOP Instance UID becomes the next
/// revision. An instance whose patient differs from its study's is held.
pub async fn begin_instance(
    tx: &mut Tx,
    origin: &Origin,
    arriving: &ArrivingInstance<'_>,
    now_ms: i64,
) -> Result<ArrivedInstance, StoreError> {
    if let Some(known) = find_by_container(tx, origin, &arriving.instance.container_sha256).await? {
        return Ok(ArrivedInstance {
            study_id: known.study_id,
            study_is_new: false,
            instance_id: known.id,
            instance_is_new: false,
            revision: known.revision,
            held: known.state == InstanceState::Held,
        });
    }
    let (study_id, study_is_new, same_patient) = upsert_study(tx, origin, arriving, now_ms).await?;
    let series_id = upsert_series(tx, origin, &study_id, arriving, now_ms).await?;
    let instance = arriving.instance;
    let (n_revisions,) = fetch_one!(
        tx,
        (i64,),
        "select coalesce(max(revision), 0) from instances \
         where network_id = $1 and site_id = $2 and sop_instance_uid = $3",
        origin.network_id.as_str(),
        origin.site_id.as_str(),
        instance.sop_instance_uid.as_str()
    )?;
    let revision = n_revisions + 1;
    let relation = if revision == 1 {
        Relation::First
    } else {
        Relation::Conflict
    };
    execute!(
        tx,
        "insert into instances (id, network_id, site_id, study_id, series_id, node_id, sop_instance_uid, \
         sop_class_uid, transfer_syntax_uid, revision, relation, state, container_sha256, container_len, \
         original_sha256, original_len, calling_ae, called_ae, instance_number, number_of_frames, frame_rows, \
         frame_columns, warnings, sent_received_at_ms, first_arrival_at_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, \
         $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)",
        arriving.new_ids.2.as_str(),
        origin.network_id.as_str(),
        origin.site_id.as_str(),
        study_id.as_str(),
        series_id.as_str(),
        origin.node_id.as_str(),
        instance.sop_instance_uid.as_str(),
        instance.sop_class_uid.as_str(),
        instance.transfer_syntax_uid.as_str(),
        revision,
        relation.as_str(),
        if same_patient { "arriving" } else { "held" },
        instance.container_sha256.as_str(),
        instance.container_len,
        instance.original_sha256.as_str(),
        instance.original_len,
        instance.calling_ae.as_str(),
        instance.called_ae.as_str(),
        instance.instance_number,
        instance.number_of_frames,
        instance.frame_rows,
        instance.frame_columns,
        instance.warnings.as_str(),
        instance.sent_received_at_ms,
        now_ms
    )?;
    let displayed = i64::from(same_patient && revision == 1);
    execute!(
        tx,
        "update studies set n_received = n_received + $2, last_arrival_at_ms = $3, \
         held_at_ms = case when $4 = 1 then coalesce(held_at_ms, $3) else held_at_ms end where id = $1",
        study_id.as_str(),
        displayed,
        now_ms,
        i64::from(!same_patient)
    )?;
    Ok(ArrivedInstance {
        study_id,
        study_is_new,
        instance_id: arriving.new_ids.2.clone(),
        instance_is_new: true,
        revision,
        held: !same_patient,
    })
}

/// The study's id, whether it is new, and whether the instance's patient is the study's.
async fn upsert_study(
    tx: &mut Tx,
    origin: &Origin,
    arriving: &ArrivingInstance<'_>,
    now_ms: i64,
) -> Result<(StudyId, bool, bool), StoreError> {
    let facts = arriving.study;
    let inserted = execute!(
        tx,
        "insert into studies (id, network_id, site_id, study_instance_uid, patient_id, issuer_of_patient_id, \
         patient_name_alphabetic, patient_name_ideographic, patient_name_phonetic, patient_name_uncertain, \
         patient_birth_date, patient_sex, study_date, study_time, accession_number, study_description, institution, \
         priority, n_received, n_verified, bytes_received, announced_generation, first_arrival_at_ms, \
         last_arrival_at_ms, uncertain_elements, search_key) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, \
         $12, $13, $14, $15, $16, $17, $18, 0, 0, 0, 0, $19, $19, $20, $21) on conflict (network_id, site_id, study_instance_uid) do nothing",
        arriving.new_ids.0.as_str(),
        origin.network_id.as_str(),
        origin.site_id.as_str(),
        arriving.study_instance_uid.as_str(),
        facts.patient_id.as_str(),
        facts.issuer_of_patient_id.as_deref(),
        facts.patient_name_alphabetic.as_str(),
        facts.patient_name_ideographic.as_str(),
        facts.patient_name_phonetic.as_str(),
        i64::from(facts.patient_name_uncertain),
        facts.patient_birth_date.as_deref(),
        facts.patient_sex.as_deref(),
        facts.study_date.as_deref(),
        facts.study_time.as_deref(),
        facts.accession_number.as_deref(),
        facts.study_description.as_deref(),
        facts.institution.as_deref(),
        arriving.priority.as_str(),
        now_ms,
        facts.uncertain_elements.as_str(),
        facts.search_key()
    )?;
    if inserted == 1 {
        copy_manifest(tx, &arriving.new_ids.0).await?;
        return Ok((arriving.new_ids.0.clone(), true, true));
    }
    let known = fetch_one!(
        tx,
        KnownPatient,
        "select id, patient_id, issuer_of_patient_id, patient_name_alphabetic, patient_name_ideographic, \
         patient_name_phonetic, patient_birth_date, patient_sex, priority from studies \
         where network_id = $1 and site_id = $2 and study_instance_uid = $3",
        origin.network_id.as_str(),
        origin.site_id.as_str(),
        arriving.study_instance_uid.as_str()
    )?;
    if Priority::parse(&known.priority).is_some_and(|known| arriving.priority < known) {
        execute!(
            tx,
            "update studies set priority = $2 where id = $1",
            known.id.as_str(),
            arriving.priority.as_str()
        )?;
    }
    let same_patient = known.is_same_patient(facts);
    if same_patient && known.lacks_what(facts) {
        // Later heads are compared with what the first head left out.
        execute!(
            tx,
            "update studies set issuer_of_patient_id = coalesce(issuer_of_patient_id, $2), \
             patient_birth_date = coalesce(patient_birth_date, $3), patient_sex = coalesce(patient_sex, $4) \
             where id = $1",
            known.id.as_str(),
            facts.issuer_of_patient_id.as_deref(),
            facts.patient_birth_date.as_deref(),
            facts.patient_sex.as_deref()
        )?;
    }
    Ok((known.id, false, same_patient))
}

/// Whose study it is, by the heads that came before.
#[derive(sqlx::FromRow)]
struct KnownPatient {
    #[sqlx(try_from = "String")]
    id: StudyId,
    patient_id: String,
    issuer_of_patient_id: Option<String>,
    patient_name_alphabetic: String,
    patient_name_ideographic: String,
    patient_name_phonetic: String,
    patient_birth_date: Option<String>,
    patient_sex: Option<String>,
    priority: String,
}

impl KnownPatient {
    /// An absent birth date, sex or issuer says nothing; a present one that differs is another person. The Patient ID
    /// has to be the same, present or not. Without one the name decides as well: a Study Instance UID alone never
    /// makes two heads one patient's.
    fn is_same_patient(&self, new: &StudyFacts) -> bool {
        let agree = |known: &Option<String>, new: &Option<String>| match (known, new) {
            (Some(known), Some(new)) => known == new,
            _ => true,
        };
        self.patient_id == new.patient_id
            && agree(&self.issuer_of_patient_id, &new.issuer_of_patient_id)
            && agree(&self.patient_birth_date, &new.patient_birth_date)
            && (!self.patient_id.is_empty()
                || (self.has_name_of(new) && agree(&self.patient_sex, &new.patient_sex)))
    }

    /// Whether every group of the name that both have is the same, and there is such a group unless neither has any.
    fn has_name_of(&self, new: &StudyFacts) -> bool {
        let bare = |group: &str| group.trim_end_matches(['^', ' ']).to_owned();
        let groups = [
            (&self.patient_name_alphabetic, &new.patient_name_alphabetic),
            (&self.patient_name_ideographic, &new.patient_name_ideographic),
            (&self.patient_name_phonetic, &new.patient_name_phonetic),
        ]
        .map(|(known, new)| (bare(known), bare(new)));
        let mut common = groups
            .iter()
            .filter(|(known, new)| !known.is_empty() && !new.is_empty())
            .peekable();
        if common.peek().is_none() {
            return groups.iter().all(|(known, new)| known == new);
        }
        common.all(|(known, new)| known == new)
    }

    fn lacks_what(&self, new: &StudyFacts) -> bool {
        let lacks = |known: &Option<String>, new: &Option<String>| known.is_none() && new.is_some();
        lacks(&self.issuer_of_patient_id, &new.issuer_of_patient_id)
            || lacks(&self.patient_birth_date, &new.patient_birth_date)
            || lacks(&self.patient_sex, &new.patient_sex)
    }
}

async fn upsert_series(
    tx: &mut Tx,
    origin: &Origin,
    study_id: &StudyId,
    arriving: &ArrivingInstance<'_>,
    now_ms: i64,
) -> Result<SeriesId, StoreError> {
    let facts = arriving.series;
    execute!(
        tx,
        "insert into series (id, study_id, network_id, series_instance_uid, modality, series_number, \
         series_description, body_part, station_name, manufacturer, created_at_ms, uncertain_elements) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) on conflict (study_id, series_instance_uid) do nothing",
        arriving.new_ids.1.as_str(),
        study_id.as_str(),
        origin.network_id.as_str(),
        arriving.series_instance_uid.as_str(),
        facts.modality.as_str(),
        facts.series_number,
        facts.series_description.as_deref(),
        facts.body_part.as_deref(),
        facts.station_name.as_deref(),
        facts.manufacturer.as_deref(),
        now_ms,
        facts.uncertain_elements.as_str()
    )?;
    let (id,) = fetch_one!(
        tx,
        (String,),
        "select id from series where study_id = $1 and series_instance_uid = $2",
        study_id.as_str(),
        arriving.series_instance_uid.as_str()
    )?;
    Ok(SeriesId::parse(&id)?)
}

/// An instance whose bytes are whole, durable and proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedInstance<'a> {
    /// Which one.
    pub instance_id: &'a InstanceId,
    /// What it is to the first revision.
    pub relation: Relation,
}

/// Records that an instance is whole. `Stale` when it was recorded before or withdrawn. A whole revision takes the
/// place of a first one that never became whole or is held: what has a receipt is shown.
pub async fn verify_instance(
    tx: &mut Tx,
    origin: &Origin,
    verified: &VerifiedInstance<'_>,
    now_ms: i64,
) -> Result<(), StoreError> {
    let changed = fetch_optional!(
        tx,
        (String, String, String, i64, i64),
        "update instances set verified_at_ms = $4, relation = $5, \
         state = case when state = 'arriving' then 'verified' else state end \
         where id = $1 and network_id = $2 and site_id = $3 and verified_at_ms is null \
         returning study_id, sop_instance_uid, state, revision, original_len",
        verified.instance_id.as_str(),
        origin.network_id.as_str(),
        origin.site_id.as_str(),
        now_ms,
        verified.relation.as_str()
    )?;
    let (study_id, sop_instance_uid, state, revision, original_len) = changed.ok_or(StoreError::Stale)?;
    if revision > 1
        && state == "verified"
        && let Some(first) = find_hidden_first(tx, origin, &sop_instance_uid).await?
    {
        let conflicts = verified.relation == Relation::Conflict && first.verified_at_ms.is_some();
        swap_with_first(tx, verified.instance_id, revision, &first).await?;
        return count_verified(tx, &study_id, Some((original_len, 1)), conflicts, now_ms).await;
    }
    let displayed = revision == 1 && state == "verified";
    // Another revision became the first one since the caller compared: both are kept and people are told.
    let conflicts =
        verified.relation == Relation::Conflict || (revision > 1 && verified.relation == Relation::First);
    if conflicts && verified.relation != Relation::Conflict {
        let text = "update instances set relation = 'conflict' where id = $1";
        execute!(tx, text, verified.instance_id.as_str())?;
    }
    count_verified(
        tx,
        &study_id,
        displayed.then_some((original_len, 0)),
        conflicts,
        now_ms,
    )
    .await
}

/// Adds a whole instance to its study's counts. `displayed` is its length, and how many more heads that shows.
async fn count_verified(
    tx: &mut Tx,
    study_id: &str,
    displayed: Option<(i64, i64)>,
    conflicts: bool,
    now_ms: i64,
) -> Result<(), StoreError> {
    let (bytes, n_received) = displayed.unwrap_or((0, 0));
    execute!(
        tx,
        "update studies set n_received = n_received + $2, n_verified = n_verified + $3, \
         bytes_received = bytes_received + $4, \
         conflict_at_ms = case when $5 = 1 then coalesce(conflict_at_ms, $6) else conflict_at_ms end where id = $1",
        study_id,
        n_received,
        i64::from(displayed.is_some()),
        bytes,
        i64::from(conflicts),
        now_ms
    )?;
    Ok(())
}

/// A first revision that no list shows as whole.
#[derive(sqlx::FromRow)]
struct HiddenFirst {
    id: String,
    study_id: String,
    state: String,
    verified_at_ms: Option<i64>,
}

async fn find_hidden_first(
    tx: &mut Tx,
    origin: &Origin,
    sop_instance_uid: &str,
) -> Result<Option<HiddenFirst>, StoreError> {
    fetch_optional!(
        tx,
        HiddenFirst,
        "select id, study_id, state, verified_at_ms from instances where network_id = $1 and site_id = $2 \
         and sop_instance_uid = $3 and revision = 1 and state <> 'verified'",
        origin.network_id.as_str(),
        origin.site_id.as_str(),
        sop_instance_uid
    )
}

/// `id` becomes the first revision, the hidden one takes its number. 0 is nobody's number but on the way.
async fn swap_with_first(
    tx: &mut Tx,
    id: &InstanceId,
    revision: i64,
    first: &HiddenFirst,
) -> Result<(), StoreError> {
    let text = "update instances set revision = 0, relation = 'conflict' where id = $1";
    execute!(tx, text, first.id.as_str())?;
    let text = "update instances set revision = 1, relation = 'first' where id = $1";
    execute!(tx, text, id.as_str())?;
    let text = "update instances set revision = $2 where id = $1";
    execute!(tx, text, first.id.as_str(), revision)?;
    if first.state == "arriving" {
        let text = "update studies set n_received = n_received - 1 where id = $1";
        execute!(tx, text, first.study_id.as_str())?;
    }
    Ok(())
}

/// A whole instance of the same original takes the place of the first revision, whose container was lost. What was lost
/// keeps its row and comes back when its container does.
///
/// `Stale` when `lost` is not what is shown, or `whole` is no verified copy of it.
pub async fn replace_lost_first(
    tx: &mut Tx,
    origin: &Origin,
    lost: &InstanceId,
    whole: &InstanceId,
) -> Result<(), StoreError> {
    let found = fetch_optional!(
        tx,
        (i64,),
        "select w.revision from instances w join instances l on l.original_sha256 = w.original_sha256 \
         and l.sop_instance_uid = w.sop_instance_uid and l.site_id = w.site_id and l.network_id = w.network_id \
         where w.id = $1 and l.id = $2 and w.network_id = $3 and w.site_id = $4 and l.revision = 1 \
         and w.study_id = l.study_id and w.state = 'verified' and l.state = 'verified' and w.id <> l.id",
        whole.as_str(),
        lost.as_str(),
        origin.network_id.as_str(),
        origin.site_id.as_str()
    )?;
    let (revision,) = found.ok_or(StoreError::Stale)?;
    let text = "update instances set revision = 0, relation = 'reencoding' where id = $1";
    execute!(tx, text, lost.as_str())?;
    let text = "update instances set revision = 1, relation = 'first' where id = $1";
    execute!(tx, text, whole.as_str())?;
    let text = "update instances set revision = $2 where id = $1";
    execute!(tx, text, lost.as_str(), revision)?;
    Ok(())
}

/// Takes back a head whose instance turned out to be unusable, so that no list shows it as arriving for ever.
pub async fn withdraw_instance(tx: &mut Tx, origin: &Origin, id: &InstanceId) -> Result<(), StoreError> {
    let gone = fetch_optional!(
        tx,
        (String, String, String, i64),
        "delete from instances where id = $1 and network_id = $2 and site_id = $3 and verified_at_ms is null \
         returning study_id, sop_instance_uid, state, revision",
        id.as_str(),
        origin.network_id.as_str(),
        origin.site_id.as_str()
    )?;
    let (study_id, sop_instance_uid, state, revision) = gone.ok_or(StoreError::Stale)?;
    if revision != 1 {
        return Ok(());
    }
    if state == "arriving" {
        execute!(
            tx,
            "update studies set n_received = n_received - 1 where id = $1",
            study_id.as_str()
        )?;
    }
    promote_next_revision(tx, origin, &sop_instance_uid).await
}

/// The next revision of an instance whose first one was withdrawn becomes the first.
async fn promote_next_revision(
    tx: &mut Tx,
    origin: &Origin,
    sop_instance_uid: &str,
) -> Result<(), StoreError> {
    let promoted = fetch_optional!(
        tx,
        (String, String, i64),
        "update instances set revision = 1, relation = 'first' where id = (select id from instances \
         where network_id = $1 and site_id = $2 and sop_instance_uid = $3 order by revision limit 1) \
         returning study_id, state, original_len",
        origin.network_id.as_str(),
        origin.site_id.as_str(),
        sop_instance_uid
    )?;
    let Some((study_id, state, original_len)) = promoted else {
        return Ok(());
    };
    let verified = state == "verified";
    execute!(
        tx,
        "update studies set n_received = n_received + $2, n_verified = n_verified + $3, \
         bytes_received = bytes_received + $4 where id = $1",
        study_id.as_str(),
        i64::from(state != "held"),
        i64::from(verified),
        if verified { original_len } else { 0 }
    )?;
    Ok(())
}
