//! Search keys of rows that have none: written by a release that knew no keys, or before their form changed.

use tancho_domain::search_key::{patient_key, text_key};

use crate::db::{Db, Tx};
use crate::error::StoreError;

/// Rows of one transaction: others write in between.
const ROWS_AT_ONCE: i64 = 500;

#[derive(sqlx::FromRow)]
struct Study {
    id: String,
    patient_id: String,
    patient_name_alphabetic: String,
    patient_name_ideographic: String,
    patient_name_phonetic: String,
    accession_number: Option<String>,
}

/// Makes the key of every study and site that lacks one. A failure leaves those that were done.
pub async fn fill_in(db: &Db) -> Result<(), StoreError> {
    loop {
        let mut tx = db.write().await?;
        let n_filled = fill_in_some(&mut tx).await?;
        tx.commit().await?;
        if n_filled == 0 {
            return Ok(());
        }
        tracing::info!(n_filled, "search keys made");
    }
}

async fn fill_in_some(tx: &mut Tx) -> Result<usize, StoreError> {
    let studies = fetch_all!(
        tx,
        Study,
        "select id, patient_id, patient_name_alphabetic, patient_name_ideographic, patient_name_phonetic, \
         accession_number from studies where search_key is null limit $1",
        ROWS_AT_ONCE
    )?;
    for study in &studies {
        let name = [
            study.patient_name_alphabetic.as_str(),
            &study.patient_name_ideographic,
            &study.patient_name_phonetic,
        ];
        let accession_number = study.accession_number.as_deref().unwrap_or_default();
        execute!(
            tx,
            "update studies set search_key = $2 where id = $1",
            study.id.as_str(),
            patient_key(name, &[&study.patient_id, accession_number])
        )?;
    }
    let sites = fetch_all!(
        tx,
        (String, String),
        "select id, name from sites where search_key is null limit $1",
        ROWS_AT_ONCE
    )?;
    for (id, name) in &sites {
        execute!(
            tx,
            "update sites set search_key = $2 where id = $1",
            id.as_str(),
            text_key(name)
        )?;
    }
    Ok(studies.len() + sites.len())
}
