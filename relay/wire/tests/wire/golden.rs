//! The exact bytes of every frame. A change here is a change of the protocol: peers in the field speak the old bytes.

use tancho_domain::dicom::{
    Priority, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use tancho_domain::ids::CommandId;
use tancho_wire::frame::*;
use tancho_wire::{Digest, Frame};

fn all_frames() -> Vec<Frame> {
    let study = StudyInstanceUid::parse("1.2.3").unwrap();
    let command_id = CommandId::new(uuid::Uuid::from_u128(7));
    vec![
        Frame::Hello(Hello {
            version_min: 1,
            version_max: 1,
            boot_id: [0xb0; 16],
            software: "agent 1".into(),
            now_ms: 1_000,
            features_required: vec![],
            features_supported: vec![3],
        }),
        Frame::Welcome(Welcome {
            version: 1,
            software: "relay 1".into(),
            now_ms: -1,
            features: vec![],
            offers_open_max: 4096,
            node_id: "n".into(),
            site_code: "S1".into(),
            site_name: "病院".into(),
        }),
        Frame::Close(Close {
            code: 9,
            reason: "stop".into(),
        }),
        Frame::Ping(Ping { seq: 1, now_ms: 2 }),
        Frame::Pong(Pong {
            seq: 1,
            ping_now_ms: 2,
            now_ms: 3,
        }),
        Frame::Offer(Offer {
            study_instance_uid: study.clone(),
            series_instance_uid: SeriesInstanceUid::parse("1.2.4").unwrap(),
            sop_class_uid: SopClassUid::parse("1.2.5").unwrap(),
            transfer_syntax_uid: TransferSyntaxUid::parse("1.2.6").unwrap(),
            calling_ae: "CT1".into(),
            called_ae: "TANCHO".into(),
            priority: Priority::Stat,
            items: vec![OfferItem {
                container_sha256: Digest([1; 32]),
                container_len: 100_000,
                head_end: 700,
                sop_instance_uid: SopInstanceUid::parse("1.2.7").unwrap(),
                original_sha256: Digest([2; 32]),
                original_len: 200_000,
                received_at_ms: 4,
                preview_end: None,
            }],
        }),
        Frame::Offer(Offer {
            study_instance_uid: study.clone(),
            series_instance_uid: SeriesInstanceUid::parse("1.2.4").unwrap(),
            sop_class_uid: SopClassUid::parse("1.2.5").unwrap(),
            transfer_syntax_uid: TransferSyntaxUid::parse("1.2.6").unwrap(),
            calling_ae: "CT1".into(),
            called_ae: "TANCHO".into(),
            priority: Priority::Stat,
            items: vec![OfferItem {
                container_sha256: Digest([1; 32]),
                container_len: 100_000,
                head_end: 700,
                sop_instance_uid: SopInstanceUid::parse("1.2.7").unwrap(),
                original_sha256: Digest([2; 32]),
                original_len: 200_000,
                received_at_ms: 4,
                preview_end: Some(24_000),
            }],
        }),
        Frame::Want(Want {
            items: vec![WantItem {
                container_sha256: Digest([1; 32]),
                ranges: vec![(0, 700), (65_536, 100_000)],
            }],
        }),
        Frame::Receipt(Receipt {
            container_sha256: Digest([1; 32]),
            original_sha256: Digest([2; 32]),
            durable_at_ms: 5,
        }),
        Frame::Refusal(Refusal {
            container_sha256: Digest([1; 32]),
            kind: RefusalKind::Later,
            code: "disk_full".into(),
            text: "no space".into(),
            retry_after_ms: 30_000,
        }),
        Frame::Manifest(StudyManifest {
            study_instance_uid: study.clone(),
            priority: Priority::Routine,
            closed: true,
            n_instances: 28,
            bytes_original: 14_700_000,
            generation: 2,
            withheld: vec![],
        }),
        Frame::Manifest(StudyManifest {
            study_instance_uid: study.clone(),
            priority: Priority::Routine,
            closed: true,
            n_instances: 28,
            bytes_original: 14_700_000,
            generation: 3,
            withheld: vec![WithheldInstances {
                reason: "patient_differs".into(),
                n_instances: 2,
            }],
        }),
        Frame::StudyStatus(StudyStatus {
            study_instance_uid: study.clone(),
            n_received: 28,
            n_verified: 27,
            manifest_generation: 2,
            manifest_closed: true,
            reading_request_id: "r".into(),
            reading_state: "claimed".into(),
            case_code: "4711".into(),
            reader_name: "R".into(),
            clinical_context_complete: false,
            at_ms: 6,
            warnings: vec!["study_conflict".into()],
            n_listed: None,
            n_preview: None,
            returned: None,
            left_out: vec![],
        }),
        Frame::StudyStatus(StudyStatus {
            study_instance_uid: study.clone(),
            n_received: 28,
            n_verified: 27,
            manifest_generation: 2,
            manifest_closed: true,
            reading_request_id: "r".into(),
            reading_state: "claimed".into(),
            case_code: "4711".into(),
            reader_name: "R".into(),
            clinical_context_complete: false,
            at_ms: 6,
            warnings: vec![],
            n_listed: Some(28),
            n_preview: Some(27),
            returned: None,
            left_out: vec![],
        }),
        Frame::StudyStatus(StudyStatus {
            study_instance_uid: study.clone(),
            n_received: 28,
            n_verified: 28,
            manifest_generation: 2,
            manifest_closed: true,
            reading_request_id: "r".into(),
            reading_state: "returned".into(),
            case_code: "4711".into(),
            reader_name: String::new(),
            clinical_context_complete: false,
            at_ms: 6,
            warnings: vec![],
            n_listed: Some(28),
            n_preview: Some(28),
            returned: Some(Returned {
                reason: "GCS?".into(),
                by: "R".into(),
                at_ms: 5,
            }),
            left_out: vec![LeftOut {
                field: "door_dt".into(),
                code: "in_future".into(),
            }],
        }),
        Frame::Focus(Focus {
            study_instance_uid: study.clone(),
            series_instance_uid: SeriesInstanceUid::parse("1.2.4").unwrap(),
            sop_instance_uid: SopInstanceUid::parse("1.2.7").unwrap(),
        }),
        Frame::Request(RequestForm {
            command_id: command_id.clone(),
            study_instance_uid: study.clone(),
            urgency: "stroke_code".into(),
            callback_number: "0".into(),
            callback_person: "P".into(),
            responsible_physician: "D".into(),
            clinical_context: "{}".into(),
            requested_at_ms: 7,
            automatic: false,
        }),
        Frame::Request(RequestForm {
            command_id: command_id.clone(),
            study_instance_uid: study,
            urgency: "routine".into(),
            callback_number: "0".into(),
            callback_person: String::new(),
            responsible_physician: String::new(),
            clinical_context: "{}".into(),
            requested_at_ms: 7,
            automatic: true,
        }),
        Frame::RequestResult(RequestResult {
            command_id: command_id.clone(),
            outcome: RequestOutcome::Accepted {
                reading_request_id: "r".into(),
                case_code: "4711".into(),
            },
        }),
        Frame::RequestResult(RequestResult {
            command_id,
            outcome: RequestOutcome::Refused {
                code: "study_unknown".into(),
                text: "t".into(),
            },
        }),
        Frame::CertificateRequest(CertificateRequest {
            csr_der: vec![0x30, 0],
        }),
        Frame::CertificateIssued(CertificateIssued {
            chain_der: vec![vec![0x30, 1].into()],
            not_after_ms: 8,
        }),
        Frame::CertificateRefused(CertificateRefused {
            code: "c".into(),
            text: "t".into(),
        }),
        Frame::EnrollRequest(EnrollRequest {
            secret: [0x5e; 16],
            csr_der: vec![0x30, 2],
            software: "a".into(),
        }),
        Frame::EnrollAccepted(EnrollAccepted {
            node_id: "n".into(),
            site_code: "S1".into(),
            site_name: "s".into(),
            chain_der: vec![vec![0x30, 3].into()],
            not_after_ms: 9,
        }),
        Frame::EnrollRefused(EnrollRefused {
            code: "enrollment_refused".into(),
            text: "t".into(),
        }),
        Frame::Data(Data {
            container_sha256: Digest([1; 32]),
            offset: 65_536,
            bytes: b"bytes".as_slice().into(),
        }),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_frame_has_its_bytes_for_ever() {
    let mut text = String::new();
    for frame in all_frames() {
        let mut bytes = Vec::new();
        encode(&frame, &mut bytes);
        text.push_str(&format!(
            "{:>2} {} {}\n",
            frame.number(),
            frame.name(),
            hex(&bytes)
        ));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire/golden.txt");
    if std::env::var_os("TANCHO_WRITE_GOLDEN").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    for (ours, theirs) in text.lines().zip(golden.lines()) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(text.lines().count(), golden.lines().count());
}

#[test]
fn every_frame_comes_back_however_the_bytes_are_cut() {
    let frames = all_frames();
    let mut bytes = Vec::new();
    frames.iter().for_each(|frame| encode(frame, &mut bytes));
    for step in [1, 7, 1000, bytes.len()] {
        let mut decoder = FrameDecoder::new();
        let mut back = Vec::new();
        for piece in bytes.chunks(step) {
            decoder.push(piece);
            while let Some(decoded) = decoder.next_frame().unwrap() {
                back.push(decoded);
            }
        }
        assert!(!decoder.is_mid_frame());
        let expected: Vec<_> = frames.iter().cloned().map(Decoded::Frame).collect();
        assert_eq!(back, expected);
    }
}
