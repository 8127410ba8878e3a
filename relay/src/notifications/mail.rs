//! The text of a mail: case code, criticality, and a link that asks for a login. Never anything about the patient,
//! nor the name of a site or a person.

use crate::config::HttpConfig;
use crate::jobs::email::Email;

/// What a mail may know.
#[derive(Debug, Clone, Copy)]
pub struct MailFacts<'a> {
    /// Kind of the notice.
    pub kind: &'a str,
    /// What people say on the phone.
    pub case_code: &'a str,
    /// Criticality of the version.
    pub criticality: Option<&'a str>,
    /// The request, for the link.
    pub reading_request_id: &'a str,
}

/// Writes the mail to one address.
#[must_use]
pub fn compose(http: &HttpConfig, to: &str, facts: MailFacts<'_>) -> Email {
    let (ja, en) = subject_of(facts.kind);
    let (level_ja, level_en) = level_of(facts.criticality);
    let link = format!("{}/requests/{}", base_url(http), facts.reading_request_id);
    let code = facts.case_code;
    let text = format!(
        "{ja}\n症例番号: {code}\n重要度: {level_ja}\n\n\
         {en}\nCase code: {code}\nCriticality: {level_en}\n\n\
         {link}\n\n\
         このメールには患者情報は含まれません。内容はログインしてご確認ください。\n\
         This mail holds no patient data. Log in to see the content.\n"
    );
    Email {
        to: to.to_owned(),
        subject: format!("[Tancho] {ja} / {en} ({code})"),
        text,
    }
}

/// The address people type.
fn base_url(http: &HttpConfig) -> String {
    let scheme = if http.is_secure() { "https" } else { "http" };
    http.public_url
        .clone()
        .unwrap_or_else(|| format!("{scheme}://{}", http.listen))
}

fn subject_of(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "report_signed" => ("読影報告が届いています", "a report is ready"),
        "addendum" => ("読影報告に追記があります", "a report has an addendum"),
        "report_unacknowledged" => ("読影報告が未確認です", "a report waits for your acknowledgement"),
        "returned" => ("読影依頼が差し戻されました", "a reading request was sent back"),
        "late_images" => ("署名後に画像が届きました", "images came after the signature"),
        _ => ("お知らせがあります", "there is news about a case"),
    }
}

fn level_of(criticality: Option<&str>) -> (&'static str, &'static str) {
    match criticality {
        Some("crit_red") => ("赤(至急、直ちに確認)", "red (at once)"),
        Some("crit_orange") => ("橙(数時間以内)", "orange (within hours)"),
        Some("crit_yellow") => ("黄(数日以内)", "yellow (within days)"),
        Some("none") => ("なし", "none"),
        _ => ("未定", "not stated"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_mail_holds_code_level_and_link_only() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::on_free_ports(folder.path());
        let facts = MailFacts {
            kind: "report_signed",
            case_code: "4711",
            criticality: Some("crit_red"),
            reading_request_id: "0190d3c0-0000-7000-8000-000000000001",
        };
        let mail = compose(&config.http, "doctor@example.jp", facts);
        assert!(mail.subject.contains("4711") && mail.text.contains("4711"));
        assert!(
            mail.text
                .contains("http://127.0.0.1:0/requests/0190d3c0-0000-7000-8000-000000000001")
        );
        assert!(mail.text.contains("赤"));
    }
}
