//! Rendered pictures: what they show, in which form, and what is refused.

use super::*;

fn instance_path(number: u32) -> String {
    format!("studies/{STUDY}/series/{SERIES}/instances/{SERIES}.{number}")
}

/// Size and samples of a grey PNG.
fn grey(png: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
    let mut samples = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut samples).unwrap();
    assert_eq!(info.color_type, png::ColorType::Grayscale);
    samples.truncate(info.buffer_size());
    (info.width, info.height, samples)
}

/// The greys of [`slice`] by PS3.3 section C.11.2.1.2.1.
fn windowed(center: f64, width: f64) -> Vec<u8> {
    let grey = |sample: &i16| {
        let share = (f64::from(*sample) - (center - 0.5)) / (width - 1.0) + 0.5;
        (share.clamp(0.0, 1.0) * 255.0).round() as u8
    };
    CtSlice::default().samples.iter().map(grey).collect()
}

async fn stored() -> (Relay, String) {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    for (number, written) in [(1, syntax::EXPLICIT_LITTLE), (2, syntax::EXPLICIT_BIG)] {
        relay.store(&native(number, written), written, true).await;
    }
    (relay, token)
}

#[tokio::test]
async fn pictures_show_the_window_that_is_asked_for() {
    let (relay, token) = stored().await;
    for number in [1, 2] {
        for (query, center, width) in [
            ("", 40.0, 80.0),
            ("?window=0,400,linear", 0.0, 400.0),
            ("?preset=bone", 600.0, 2800.0),
            ("?preset=1", 40.0, 80.0),
        ] {
            let path = format!("{}/rendered{query}", instance_path(number));
            let answer = relay.get(&token, &path, &[("accept", "image/png")]).await;
            assert_eq!(answer.header("content-type"), "image/png");
            assert_eq!(
                grey(&answer.body),
                (8, 8, windowed(center, width)),
                "{number} {query}"
            );
        }
    }
    let path = format!(
        "{}/frames/1/rendered?window=0,400&viewport=4,4,0,0,4,8",
        instance_path(1)
    );
    let part = relay.get(&token, &path, &[("accept", "image/png")]).await;
    let (width, height, _) = grey(&part.body);
    assert_eq!((width, height), (2, 4));
}

#[tokio::test]
async fn jpeg_is_the_form_unless_another_is_liked_better() {
    let (relay, token) = stored().await;
    let path = format!("{}/rendered?window=0,400", instance_path(1));
    for (accept, expected) in [
        ("", "image/jpeg"),
        ("image/*", "image/jpeg"),
        ("image/jpeg;q=0.5, image/png", "image/png"),
    ] {
        let headers: &[(&str, &str)] = if accept.is_empty() {
            &[]
        } else {
            &[("accept", accept)]
        };
        let answer = relay.get(&token, &path, headers).await;
        assert_eq!(answer.header("content-type"), expected);
        let again = [("accept", accept), ("if-none-match", answer.header("etag"))];
        let known = relay
            .get(&token, &path, &again[usize::from(accept.is_empty())..])
            .await;
        assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    }
    let jpeg = relay.get(&token, &path, &[]).await.body;
    let cursor = zune_jpeg::zune_core::bytestream::ZCursor::new(&jpeg);
    let decoded = zune_jpeg::JpegDecoder::new(cursor).decode().unwrap();
    let expected = windowed(0.0, 400.0);
    assert_eq!(decoded.len() % expected.len(), 0);
    let channels = decoded.len() / expected.len();
    for (shown, grey) in decoded.chunks_exact(channels).zip(&expected) {
        assert!(shown[0].abs_diff(*grey) < 12, "{shown:?} {grey}");
    }
    let coarse = relay.get(&token, &format!("{path}&quality=5"), &[]).await;
    assert!(coarse.body.len() < jpeg.len());
    relay
        .get(&token, &path, &[("accept", "text/html")])
        .await
        .refused(StatusCode::NOT_ACCEPTABLE, "not_acceptable");
}

#[tokio::test]
async fn series_have_a_part_for_each_picture_and_thumbnails_one() {
    let (relay, token) = stored().await;
    let series = format!("studies/{STUDY}/series/{SERIES}");
    for path in [format!("studies/{STUDY}/rendered"), format!("{series}/rendered")] {
        let answer = relay
            .get(&token, &path, &[("accept", "multipart/related; type=image/png")])
            .await;
        let pictures = parts(&answer);
        assert_eq!(pictures.len(), 2, "{path}");
        for (content_type, picture) in pictures {
            assert_eq!(content_type, "image/png");
            assert_eq!(grey(&picture).2, windowed(40.0, 80.0));
        }
    }
    for path in [
        format!("studies/{STUDY}/thumbnail"),
        format!("{series}/thumbnail"),
        format!("{}/thumbnail", instance_path(1)),
        format!("{}/frames/1/thumbnail", instance_path(1)),
    ] {
        let answer = relay.get(&token, &path, &[("accept", "image/png")]).await;
        let (width, height, _) = grey(&answer.body);
        assert_eq!((width, height), (128, 128), "{path}");
    }
}

#[tokio::test]
async fn hounsfield_windows_are_for_images_in_hounsfield_units() {
    let (relay, token) = stored().await;
    // Rescale Type after Rescale Slope, and a Rescale Intercept that is no number.
    for (number, intercept, unit) in [(3, "0", "US"), (4, "0,5", "HU")] {
        let mut writer = ElementWriter::new(&TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap());
        slice(number).write_head(&mut writer).unwrap();
        let mut data_set = writer.finish();
        let head = [0x28, 0, 0x52, 0x10];
        let at = data_set.windows(4).position(|window| window == head).unwrap();
        data_set.truncate(at);
        let mut rest = ElementWriter::new(&TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap());
        rest.ascii(Tag(0x0028, 0x1052), Vr::DS, intercept)
            .ascii(Tag(0x0028, 0x1053), Vr::DS, "1")
            .ascii(Tag(0x0028, 0x1054), Vr::LO, unit)
            .pixels_i16(&slice(number).samples);
        data_set.extend(rest.finish());
        relay.store(&data_set, syntax::EXPLICIT_LITTLE, true).await;
    }
    let ask = async |number: u32, query: &str| {
        let path = format!("{}/rendered{query}", instance_path(number));
        relay.get(&token, &path, &[]).await
    };
    ask(3, "?preset=bone")
        .await
        .refused(StatusCode::NOT_ACCEPTABLE, "preset_needs_hounsfield");
    assert_eq!(ask(3, "?preset=1").await.status, StatusCode::OK);
    assert_eq!(ask(1, "?preset=bone").await.status, StatusCode::OK);
    for query in ["", "?preset=bone", "?window=40,80"] {
        ask(4, query)
            .await
            .refused(StatusCode::NOT_ACCEPTABLE, "not_renderable");
    }
}

#[tokio::test]
async fn a_wrong_picture_is_never_shown() {
    let (relay, token) = stored().await;
    relay.store(&compressed(3), JPEG_LS, true).await;
    let explicit = TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap();
    let mut writer = ElementWriter::new(&explicit);
    slice(4).write_head(&mut writer).unwrap();
    writer
        .begin_sequence(Tag(0x0028, 0x3000))
        .begin_item()
        .end_item()
        .end_sequence();
    writer.pixels_i16(&slice(4).samples);
    relay.store(&writer.finish(), syntax::EXPLICIT_LITTLE, true).await;
    for number in [3, 4] {
        relay
            .get(&token, &format!("{}/rendered", instance_path(number)), &[])
            .await
            .refused(StatusCode::NOT_ACCEPTABLE, "not_renderable");
    }
    let one = instance_path(1);
    for (path, status, code) in [
        ("rendered?preset=moon", StatusCode::BAD_REQUEST, "preset_unknown"),
        ("rendered?windows=1,2", StatusCode::BAD_REQUEST, "query_malformed"),
        (
            "rendered?viewport=8,8,4,4,8,8",
            StatusCode::BAD_REQUEST,
            "query_malformed",
        ),
        ("frames/2/rendered", StatusCode::NOT_FOUND, "not_found"),
        ("frames/2/thumbnail", StatusCode::NOT_FOUND, "not_found"),
        ("frames/x/rendered", StatusCode::BAD_REQUEST, "frames_malformed"),
    ] {
        relay
            .get(&token, &format!("{one}/{path}"), &[])
            .await
            .refused(status, code);
    }
    let stranger = relay.login(&relay.centre.clone(), Role::Reader).await;
    for path in [
        format!("{one}/rendered"),
        format!("{one}/thumbnail"),
        format!("studies/{STUDY}/thumbnail"),
    ] {
        relay
            .get(&stranger, &path, &[])
            .await
            .refused(StatusCode::NOT_FOUND, "not_found");
    }
    assert_eq!(relay.recorded_views().await, 1);
}
