//! The audit trail: one hash chain per network, written in the transaction of the act itself.
//!
//! Every row carries the digest of the row before it, so that a change, a removal or another order shows; the head
//! table holds the latest digest, so that cutting off the end shows too. Append last in a transaction: taking the
//! head serialises the writers of a network until the commit. Details are ids and codes, never patient data.

use serde_json::Value;
use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use tancho_domain::access::{Principal, Scope};
use tancho_domain::ids::NetworkId;

use crate::db::{Db, Tx};
use crate::error::StoreError;

/// The digest before the first row of every chain.
pub const GENESIS: [u8; 32] = [0; 32];

/// Most rows one page of [`list_audit`] gives.
pub const PAGE_ROWS_MAX: i64 = 500;

/// Who acted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A person with a login.
    User(Principal),
    /// A node; its id.
    Node(String),
    /// The relay by itself: a job, a rule.
    Relay,
    /// Whoever runs commands on the relay's machine.
    Operator,
}

/// Whether the act happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It happened.
    Done,
    /// It was asked for and refused.
    Refused,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Who.
    pub actor: Actor,
    /// What, the operation id: `claim_reading_request`.
    pub action: String,
    /// What kind of thing it was done to: `reading_request`.
    pub subject_kind: String,
    /// Which one.
    pub subject_id: Option<String>,
    /// Whether it happened.
    pub outcome: AuditOutcome,
    /// Ids and codes only.
    pub detail: Value,
    /// The HTTP request, when there was one.
    pub request_id: Option<String>,
}

impl Entry {
    /// An act of a person that happened.
    #[must_use]
    pub fn done(principal: &Principal, action: &str, subject_kind: &str, subject_id: &str) -> Self {
        Self::by(Actor::User(principal.clone()), action, subject_kind, subject_id)
    }

    /// An act that happened, by anyone.
    #[must_use]
    pub fn by(actor: Actor, action: &str, subject_kind: &str, subject_id: &str) -> Self {
        Self {
            actor,
            action: action.to_owned(),
            subject_kind: subject_kind.to_owned(),
            subject_id: Some(subject_id.to_owned()),
            outcome: AuditOutcome::Done,
            detail: Value::Object(serde_json::Map::new()),
            request_id: None,
        }
    }

    /// The same, refused.
    #[must_use]
    pub fn refused(mut self) -> Self {
        self.outcome = AuditOutcome::Refused;
        self
    }

    /// The same with ids and codes that say more.
    #[must_use]
    pub fn with_detail(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }

    /// The same with the id of the HTTP request.
    #[must_use]
    pub fn with_request_id(mut self, request_id: &str) -> Self {
        self.request_id = Some(request_id.to_owned());
        self
    }
}

/// A row of the trail.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct AuditRow {
    /// Position in the network's chain, from 1.
    pub seq: i64,
    /// When.
    pub at_ms: i64,
    /// `user`, `node`, `relay` or `operator`.
    pub actor_kind: String,
    /// Which one.
    pub actor_id: Option<String>,
    /// In which role.
    pub actor_role: Option<String>,
    /// Of which site.
    pub actor_site_id: Option<String>,
    /// What.
    pub action: String,
    /// What kind of thing it was done to.
    pub subject_kind: String,
    /// Which one.
    pub subject_id: Option<String>,
    /// `done` or `refused`.
    pub outcome: String,
    /// JSON text.
    pub detail: String,
    /// The HTTP request.
    pub request_id: Option<String>,
    /// Digest of the row before.
    pub prev_hash: Vec<u8>,
    /// Digest of this row.
    pub hash: Vec<u8>,
}

impl AuditRow {
    /// SHA-256 over every field in order, each with its length before it, and the digest of the row before.
    #[must_use]
    pub fn digest(&self, network_id: &NetworkId) -> [u8; 32] {
        let seq = self.seq.to_string();
        let at_ms = self.at_ms.to_string();
        let fields = [
            Some(network_id.as_str()),
            Some(seq.as_str()),
            Some(at_ms.as_str()),
            Some(self.actor_kind.as_str()),
            self.actor_id.as_deref(),
            self.actor_role.as_deref(),
            self.actor_site_id.as_deref(),
            Some(self.action.as_str()),
            Some(self.subject_kind.as_str()),
            self.subject_id.as_deref(),
            Some(self.outcome.as_str()),
            Some(self.detail.as_str()),
            self.request_id.as_deref(),
        ];
        let mut hash = Sha256::new();
        hash.update(b"tancho audit 1");
        for field in fields {
            // An absent field and an empty one must not look the same.
            match field {
                Some(text) => {
                    hash.update([1]);
                    hash.update((text.len() as u64).to_be_bytes());
                    hash.update(text);
                }
                None => hash.update([0]),
            }
        }
        hash.update(&self.prev_hash);
        hash.finalize().into()
    }
}

/// Appends an entry to the network's chain and gives its position.
pub async fn append(
    tx: &mut Tx,
    network_id: &NetworkId,
    entry: Entry,
    now_ms: i64,
) -> Result<i64, StoreError> {
    let (seq, prev_hash) = fetch_one!(
        tx,
        (i64, Vec<u8>),
        "update audit_heads set seq = seq + 1 where network_id = $1 returning seq, hash",
        network_id.as_str()
    )?;
    let row = row_of(entry, seq, prev_hash, now_ms);
    let hash = row.digest(network_id);
    execute!(
        tx,
        "insert into audit (network_id, seq, at_ms, actor_kind, actor_id, actor_role, actor_site_id, action, \
         subject_kind, subject_id, outcome, detail, request_id, prev_hash, hash) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        network_id.as_str(),
        seq,
        row.at_ms,
        row.actor_kind.as_str(),
        row.actor_id.as_deref(),
        row.actor_role.as_deref(),
        row.actor_site_id.as_deref(),
        row.action.as_str(),
        row.subject_kind.as_str(),
        row.subject_id.as_deref(),
        row.outcome.as_str(),
        row.detail.as_str(),
        row.request_id.as_deref(),
        row.prev_hash.as_slice(),
        hash.as_slice()
    )?;
    let text = "update audit_heads set hash = $2 where network_id = $1";
    execute!(tx, text, network_id.as_str(), hash.as_slice())?;
    Ok(seq)
}

fn row_of(entry: Entry, seq: i64, prev_hash: Vec<u8>, now_ms: i64) -> AuditRow {
    let (actor_kind, actor_id, actor_role, actor_site_id) = match entry.actor {
        Actor::User(person) => (
            "user",
            Some(person.user_id.into()),
            Some(person.role.as_str().to_owned()),
            Some(person.site_id.into()),
        ),
        Actor::Node(id) => ("node", Some(id), None, None),
        Actor::Relay => ("relay", None, None, None),
        Actor::Operator => ("operator", None, None, None),
    };
    let outcome = match entry.outcome {
        AuditOutcome::Done => "done",
        AuditOutcome::Refused => "refused",
    };
    AuditRow {
        seq,
        at_ms: now_ms,
        actor_kind: actor_kind.to_owned(),
        actor_id,
        actor_role,
        actor_site_id,
        action: entry.action,
        subject_kind: entry.subject_kind,
        subject_id: entry.subject_id,
        outcome: outcome.to_owned(),
        detail: entry.detail.to_string(),
        request_id: entry.request_id,
        prev_hash,
        hash: Vec::new(),
    }
}

/// What is asked of the trail; everything absent matches everything.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter<'a> {
    /// Rows before this position only, for paging backwards.
    pub before_seq: Option<i64>,
    /// Done to this thing.
    pub subject_id: Option<&'a str>,
    /// Done by this person or node.
    pub actor_id: Option<&'a str>,
    /// Most rows to give, at most [`PAGE_ROWS_MAX`].
    pub limit: i64,
}

/// The newest matching rows of the network, newest first.
pub async fn list_audit(
    tx: &mut Tx,
    scope: &Scope,
    filter: &AuditFilter<'_>,
) -> Result<Vec<AuditRow>, StoreError> {
    fetch_all!(
        tx,
        AuditRow,
        "select seq, at_ms, actor_kind, actor_id, actor_role, actor_site_id, action, subject_kind, subject_id, \
         outcome, detail, request_id, prev_hash, hash from audit \
         where network_id = $1 and ($2 is null or seq < $2) and ($3 is null or subject_id = $3) \
           and ($4 is null or actor_id = $4) order by seq desc limit $5",
        scope.network_id.as_str(),
        filter.before_seq,
        filter.subject_id,
        filter.actor_id,
        filter.limit.clamp(1, PAGE_ROWS_MAX)
    )
}

/// The state of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every row follows from the one before; the head is the last one.
    Intact {
        /// Rows checked.
        n_rows: i64,
    },
    /// The first position where the chain does not hold: the row was changed, is missing, or was put elsewhere.
    Broken {
        /// That position, from 1.
        seq: i64,
    },
}

/// Where the chain of a network ends, and the digest there.
pub async fn get_head(tx: &mut Tx, network_id: &NetworkId) -> Result<(i64, [u8; 32]), StoreError> {
    let text = "select seq, hash from audit_heads where network_id = $1";
    let (seq, hash) = fetch_one!(tx, (i64, Vec<u8>), text, network_id.as_str())?;
    let hash = hash
        .try_into()
        .map_err(|_| StoreError::Corrupt("head of the audit trail".to_owned()))?;
    Ok((seq, hash))
}

/// Walks the chain of a network up to where it ended at the start, a page per transaction, so that neither the
/// database nor a writer waits for a long chain. `noted` are digests by position that are known from elsewhere.
pub async fn verify_audit(
    db: &Db,
    network_id: &NetworkId,
    noted: &BTreeMap<i64, Vec<u8>>,
) -> Result<Verdict, StoreError> {
    let mut walk = match Walk::begin(&mut db.read().await?, network_id, noted).await? {
        Ok(walk) => walk,
        Err(broken) => return Ok(broken),
    };
    loop {
        if let Some(verdict) = walk.page(&mut db.read().await?).await? {
            return Ok(verdict);
        }
    }
}

/// How far a chain is walked.
struct Walk<'a> {
    network_id: &'a NetworkId,
    /// Where the chain ended at the start, and the digest there.
    head: (i64, Vec<u8>),
    next_seq: i64,
    prev_hash: Vec<u8>,
    noted: &'a BTreeMap<i64, Vec<u8>>,
}

impl<'a> Walk<'a> {
    /// Fixes the end. A row beyond it, or one known from elsewhere, shows that the end was put back.
    async fn begin(
        tx: &mut Tx,
        network_id: &'a NetworkId,
        noted: &'a BTreeMap<i64, Vec<u8>>,
    ) -> Result<Result<Self, Verdict>, StoreError> {
        let text = "select seq, hash from audit_heads where network_id = $1";
        let head = fetch_one!(tx, (i64, Vec<u8>), text, network_id.as_str())?;
        let text = "select coalesce(max(seq), 0) from audit where network_id = $1";
        let (last_seq,) = fetch_one!(tx, (i64,), text, network_id.as_str())?;
        let last_noted = noted.keys().next_back().copied().unwrap_or(0);
        if last_seq.max(last_noted) > head.0 {
            return Ok(Err(Verdict::Broken { seq: head.0 + 1 }));
        }
        Ok(Ok(Self {
            network_id,
            head,
            noted,
            next_seq: 1,
            prev_hash: GENESIS.to_vec(),
        }))
    }

    /// Walks one page; the verdict when that was the last one.
    async fn page(&mut self, tx: &mut Tx) -> Result<Option<Verdict>, StoreError> {
        let rows = fetch_all!(
            tx,
            AuditRow,
            "select seq, at_ms, actor_kind, actor_id, actor_role, actor_site_id, action, subject_kind, subject_id, \
             outcome, detail, request_id, prev_hash, hash from audit \
             where network_id = $1 and seq between $2 and $3 order by seq limit $4",
            self.network_id.as_str(),
            self.next_seq,
            self.head.0,
            PAGE_ROWS_MAX
        )?;
        let broken = Some(Verdict::Broken { seq: self.next_seq });
        if rows.is_empty() {
            let is_whole = self.next_seq == self.head.0 + 1 && self.prev_hash == self.head.1;
            let n_rows = self.head.0;
            return Ok(if is_whole {
                Some(Verdict::Intact { n_rows })
            } else {
                broken
            });
        }
        for row in rows {
            let holds = row.seq == self.next_seq
                && row.prev_hash == self.prev_hash
                && row.hash == row.digest(self.network_id)
                && self.noted.get(&row.seq).is_none_or(|noted| *noted == row.hash);
            if !holds {
                return Ok(Some(Verdict::Broken { seq: self.next_seq }));
            }
            self.next_seq += 1;
            self.prev_hash = row.hash;
        }
        Ok(None)
    }
}
