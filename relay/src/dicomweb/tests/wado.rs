//! Retrieving: transfer syntaxes on request, parts of files, and what a client has already.

use super::*;

const FILE: &str = "application/dicom";
const EXPLICIT_FILE: &str = "application/dicom;transfer-syntax=1.2.840.10008.1.2.1";

fn instance_path(number: u32) -> String {
    format!("studies/{STUDY}/series/{SERIES}/instances/{SERIES}.{number}")
}

/// Transfer syntax and data set of a DICOM file.
fn split(file: &[u8]) -> (String, Vec<u8>) {
    let meta = part10::split(&mut Cursor::new(file)).unwrap();
    let data_set = file[meta.data_set_offset as usize..].to_vec();
    (meta.transfer_syntax.to_string(), data_set)
}

/// [`large`] as a sender that codes HTJ2K itself would send it.
fn htj2k_object(number: u32) -> Vec<u8> {
    let explicit = TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap();
    let native = large(number).data_set(&explicit).unwrap();
    let mut src = Cursor::new(&native);
    let scan = scan(&mut src, &explicit, &ScanLimits::default()).unwrap();
    let mut out = Cursor::new(Vec::new());
    let sha256 = Sha256::digest(&native).into();
    container::encode(&mut src, &scan, &explicit, &sha256, &mut out).unwrap();
    let codestream = container::Container::open(out).unwrap().codestream(1).unwrap();
    let htj2k = TransferSyntaxUid::parse(syntax::HTJ2K_LOSSLESS_RPCL).unwrap();
    let mut writer = ElementWriter::new(&htj2k);
    large(number).write_head(&mut writer).unwrap();
    writer.fragments(&[], &[&codestream.unwrap()]);
    writer.finish()
}

#[tokio::test]
async fn files_leave_in_explicit_little_endian_for_those_who_name_it() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let received = [
        syntax::EXPLICIT_LITTLE,
        syntax::IMPLICIT_LITTLE,
        syntax::EXPLICIT_BIG,
    ];
    for (number, written) in (1..).zip(received) {
        relay.store(&native(number, written), written, true).await;
        let path = instance_path(number);
        for accept in [
            FILE,
            "application/dicom;transfer-syntax=*",
            "application/dicom;q=0.5, text/html",
        ] {
            let answer = relay.get(&token, &path, &[("accept", accept)]).await;
            assert_eq!(
                split(&answer.body),
                (written.to_owned(), native(number, written)),
                "{accept}"
            );
        }
        let answer = relay.get(&token, &path, &[("accept", EXPLICIT_FILE)]).await;
        let explicit = native(number, syntax::EXPLICIT_LITTLE);
        assert_eq!(
            split(&answer.body),
            (syntax::EXPLICIT_LITTLE.to_owned(), explicit)
        );
    }
    let accept = format!(
        "multipart/related; type=\"{FILE}\"; transfer-syntax={}",
        syntax::EXPLICIT_LITTLE
    );
    let series = format!("studies/{STUDY}/series/{SERIES}");
    let answer = relay.get(&token, &series, &[("accept", &accept)]).await;
    let files = parts(&answer);
    assert_eq!(files.len(), 3);
    for ((content_type, file), number) in files.iter().zip(1..) {
        assert_eq!(content_type, EXPLICIT_FILE);
        assert_eq!(split(file).1, native(number, syntax::EXPLICIT_LITTLE));
    }
    // This codestream has only a header: with one of them the whole answer cannot be given so.
    relay.store(&compressed(4), JPEG_LS, true).await;
    for path in [instance_path(4), series] {
        relay
            .get(&token, &path, &[("accept", &accept)])
            .await
            .refused(StatusCode::NOT_ACCEPTABLE, "not_acceptable");
    }
}

#[tokio::test]
async fn htj2k_is_decoded_for_those_who_do_not_take_it() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let received = htj2k_object(1);
    relay.store(&received, syntax::HTJ2K_LOSSLESS_RPCL, true).await;
    let explicit = TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap();
    let native = large(1).data_set(&explicit).unwrap();
    let samples: Vec<u8> = large(1)
        .samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    let coded = relay.get(&token, &frame_path(1), &[]).await;
    assert_eq!(
        coded.header("content-type"),
        "image/jphc;transfer-syntax=1.2.840.10008.1.2.4.202"
    );
    for accept in [
        "application/octet-stream",
        "image/jphc;q=0.1, application/octet-stream",
        "application/octet-stream;transfer-syntax=1.2.840.10008.1.2.1",
    ] {
        let answer = relay.get(&token, &frame_path(1), &[("accept", accept)]).await;
        assert_eq!(
            answer.header("content-type"),
            "application/octet-stream;transfer-syntax=1.2.840.10008.1.2.1",
            "{accept}"
        );
        assert_eq!(answer.body, samples);
        assert_ne!(answer.header("etag"), coded.header("etag"));
    }
    let accept = "multipart/related; type=\"application/octet-stream\"";
    let answer = relay.get(&token, &frame_path(1), &[("accept", accept)]).await;
    assert_eq!(parts(&answer)[0].1, samples);
    let file = relay.get(&token, &instance_path(1), &[("accept", FILE)]).await;
    assert_eq!(
        split(&file.body),
        (syntax::HTJ2K_LOSSLESS_RPCL.to_owned(), received)
    );
    let file = relay
        .get(&token, &instance_path(1), &[("accept", EXPLICIT_FILE)])
        .await;
    assert_eq!(split(&file.body), (syntax::EXPLICIT_LITTLE.to_owned(), native));
}

/// A worker that is ended in the middle of an answer costs that answer, and an object that ends two is not decoded again;
/// what was received is still given, and so is every other object.
#[tokio::test]
async fn flt_023_a_decoder_that_dies_costs_one_answer_and_never_the_relay() {
    let relay = Relay::with(|config| config.decoding.workers = 1).await;
    let token = relay.referrer().await;
    for number in [1, 2] {
        let coded = htj2k_object(number);
        relay.store(&coded, syntax::HTJ2K_LOSSLESS_RPCL, true).await;
    }
    let native = [("accept", "application/octet-stream")];
    relay.app.decoders.warm().await;
    let signal = |name: &str, process_id: u32| {
        let mut kill = std::process::Command::new("kill");
        let sent = kill.args([format!("-{name}"), process_id.to_string()]).status();
        assert!(sent.unwrap().success());
    };
    for (status, code) in [
        (StatusCode::SERVICE_UNAVAILABLE, "decoder_failed"),
        (StatusCode::NOT_ACCEPTABLE, "decoder_fails_on_it"),
    ] {
        let process_id = relay.app.decoders.idle_process_ids()[0];
        signal("STOP", process_id);
        let killed = async {
            while !relay.app.decoders.idle_process_ids().is_empty() {
                tokio::task::yield_now().await;
            }
            // As a decoder that finds its memory destroyed ends; the signal waits until the process goes on.
            signal("ABRT", process_id);
            signal("CONT", process_id);
        };
        let path = frame_path(1);
        let (answer, ()) = tokio::join!(relay.get(&token, &path, &native), killed);
        answer.refused(status, code);
        let other = relay.get(&token, &frame_path(2), &native).await;
        assert_eq!(other.status, StatusCode::OK);
    }
    for (path, headers) in [
        (frame_path(1), &native[..]),
        (format!("{}/rendered", instance_path(1)), &[]),
        (format!("{}/thumbnail", instance_path(1)), &[]),
        (instance_path(1), &[("accept", EXPLICIT_FILE)]),
    ] {
        relay
            .get(&token, &path, headers)
            .await
            .refused(StatusCode::NOT_ACCEPTABLE, "decoder_fails_on_it");
    }
    let received = relay.get(&token, &frame_path(1), &[]).await;
    assert_eq!(received.status, StatusCode::OK);
    let picture = format!("{}/rendered", instance_path(2));
    assert_eq!(relay.get(&token, &picture, &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn nothing_is_decoded_without_leave() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let coded = htj2k_object(1);
    relay.store(&coded, syntax::HTJ2K_LOSSLESS_RPCL, true).await;
    let ts = TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap();
    let resting = large(2).data_set(&ts).unwrap();
    relay.store(&resting, syntax::EXPLICIT_LITTLE, true).await;
    // As when the relay stops: nobody gets memory for frames any more.
    relay.app.dicomweb.frame_mib.close();
    relay.app.dicomweb.decoded_mib.close();
    let frames = "multipart/related; type=\"application/octet-stream\"";
    let bulk_data = format!("{}/bulkdata/7FE00010", instance_path(2));
    for (path, accept) in [
        (frame_path(1), "application/octet-stream"),
        (frame_path(1), frames),
        (frame_path(2), frames),
        (bulk_data, "application/octet-stream"),
        (format!("{}/rendered", instance_path(1)), "image/png"),
        (instance_path(1), EXPLICIT_FILE),
        (instance_path(2), FILE),
    ] {
        let request = Request::get(format!("/dicom-web/{path}"))
            .header("host", "localhost")
            .header("accept", accept)
            .header("authorization", format!("Bearer {token}"));
        let request = request.body(Body::empty()).unwrap();
        let response = relay.router.clone().oneshot(request).await.unwrap();
        let is_refused = response.status().is_server_error();
        let is_cut_off = response.into_body().collect().await.is_err();
        assert!(is_refused || is_cut_off, "{path} {accept}");
    }
    // What needs no decoding is still given.
    let file = relay.get(&token, &instance_path(1), &[("accept", FILE)]).await;
    assert_eq!(file.status, StatusCode::OK);
}

#[tokio::test]
async fn a_file_goes_on_where_it_ended_and_is_not_sent_twice() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    relay
        .store(&native(1, syntax::IMPLICIT_LITTLE), syntax::IMPLICIT_LITTLE, true)
        .await;
    let path = instance_path(1);
    let whole = relay.get(&token, &path, &[("accept", FILE)]).await;
    let total = whole.body.len();
    assert_eq!(whole.header("content-length"), total.to_string());
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let etag = whole.header("etag").to_owned();
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=100-299", 100..300),
        ("bytes=300-", 300..total),
        ("bytes=-7", total - 7..total),
    ] {
        let headers = [("accept", FILE), ("range", range), ("if-range", &etag)];
        let part = relay.get(&token, &path, &headers).await;
        assert_eq!(part.status, StatusCode::PARTIAL_CONTENT, "{range}");
        let content_range = format!("bytes {}-{}/{total}", expected.start, expected.end - 1);
        assert_eq!(part.header("content-range"), content_range);
        assert_eq!(part.body, whole.body[expected]);
    }
    let beyond = format!("bytes={total}-");
    relay
        .get(&token, &path, &[("accept", FILE), ("range", &beyond)])
        .await
        .refused(StatusCode::RANGE_NOT_SATISFIABLE, "range_beyond_frame");
    let metadata = format!("{path}/metadata");
    for (path, accept) in [
        (&path, FILE),
        (&metadata, "application/dicom+json"),
        (&frame_path(1), "*/*"),
    ] {
        let first = relay.get(&token, path, &[("accept", accept)]).await;
        let etag = first.header("etag").to_owned();
        let known = [("accept", accept), ("if-none-match", etag.as_str())];
        let again = relay.get(&token, path, &known).await;
        assert_eq!(
            (again.status, again.body.len()),
            (StatusCode::NOT_MODIFIED, 0),
            "{path}"
        );
        assert_eq!(again.header("etag"), etag);
    }
    // Another form is other bytes.
    let headers = [("accept", EXPLICIT_FILE), ("if-none-match", etag.as_str())];
    let other = relay.get(&token, &path, &headers).await;
    assert_eq!(other.status, StatusCode::OK);
    assert_eq!(other.header("accept-ranges"), "none");
}

#[tokio::test]
async fn a_file_that_is_not_what_was_received_is_cut_off() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let original = native(1, syntax::EXPLICIT_LITTLE);
    let mut begun = relay.begin(&original, syntax::EXPLICIT_LITTLE).await;
    // Every section is whole, but the header names another original.
    let container = &mut begun.container;
    let header = container::parse_header(container).unwrap().unwrap();
    let header_len = usize::try_from(header.header_len).unwrap();
    let at = container[..header_len]
        .windows(32)
        .position(|window| window == header.original_sha256)
        .unwrap();
    container[at] ^= 1;
    let digest: [u8; 32] = Sha256::digest(&container[..header_len - 32]).into();
    container[header_len - 32..header_len].copy_from_slice(&digest);
    relay.put(&begun);
    relay.verify(&begun).await;
    for (range, is_given) in [
        ("", false),
        ("bytes=0-", false),
        ("bytes=-7", false),
        ("bytes=0-99", true),
    ] {
        let mut request = Request::get(format!("/dicom-web/{}", instance_path(1)))
            .header("host", "localhost")
            .header("accept", FILE)
            .header("authorization", format!("Bearer {token}"));
        if !range.is_empty() {
            request = request.header("range", range);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = relay.router.clone().oneshot(request).await.unwrap();
        assert!(response.status().is_success());
        assert_eq!(response.into_body().collect().await.is_ok(), is_given, "{range}");
    }
}

#[tokio::test]
async fn pixel_data_is_found_where_metadata_says() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    relay
        .store(&native(1, syntax::EXPLICIT_BIG), syntax::EXPLICIT_BIG, true)
        .await;
    relay.store(&compressed(2), JPEG_LS, true).await;
    for (number, content) in [(1, little_endian()), (2, JLS.to_vec())] {
        let metadata = relay
            .get(&token, &format!("{}/metadata", instance_path(number)), &[])
            .await
            .json();
        let address = metadata[0]["7FE00010"]["BulkDataURI"].as_str().unwrap();
        let answer = relay.get(&token, address, &[]).await;
        assert_eq!((answer.status, answer.body), (StatusCode::OK, content));
    }
}

#[tokio::test]
async fn json_is_given_to_those_who_take_it() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    relay
        .store(&native(1, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE, true)
        .await;
    for path in [format!("{}/metadata", instance_path(1)), "studies".to_owned()] {
        for (accept, expected) in [
            ("application/dicom+json", "application/dicom+json"),
            ("application/json", "application/json"),
            ("application/dicom+xml;q=0.9, */*;q=0.1", "application/dicom+json"),
        ] {
            let answer = relay.get(&token, &path, &[("accept", accept)]).await;
            assert_eq!(answer.header("content-type"), expected, "{path} {accept}");
            assert!(answer.json()[0].is_object());
        }
        let accept = "multipart/related; type=\"application/dicom+xml\"";
        relay
            .get(&token, &path, &[("accept", accept)])
            .await
            .refused(StatusCode::NOT_ACCEPTABLE, "not_acceptable");
    }
}
