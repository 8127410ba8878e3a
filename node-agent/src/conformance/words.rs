//! The faults in words, and what to ask of whoever looks after the modality: Japanese, English.

use super::judge::FaultCode;

/// What is wrong, and what it means here.
pub(super) fn what(code: FaultCode) -> (&'static str, &'static str) {
    match code {
        FaultCode::CharacterSetWrong => (
            "宣言された文字コードと実際の文字が合いません。氏名などに「不確実」の印が付きます",
            "the declared character set does not fit the text; names are marked as uncertain",
        ),
        FaultCode::CharacterSetUndeclared => (
            "文字コードを宣言せずに日本語などを送っています。氏名などに「不確実」の印が付きます",
            "text beyond ASCII without a declared character set; names are marked as uncertain",
        ),
        FaultCode::PixelSpacingMissing => (
            "画素の大きさがないため、読影画面で長さを測れません",
            "the size of a pixel is missing, so nothing can be measured in the viewer",
        ),
        FaultCode::GantryTilt => (
            "ガントリを傾けて撮影しています。再構成断面(MPR)がゆがんで見えることがあります",
            "the gantry is tilted; reformatted planes may look sheared",
        ),
        FaultCode::SliceSpacingIrregular => (
            "一つのシリーズのスライス間隔が一定ではありません。再構成断面や体積の計測に使えません",
            "uneven distances between the slices of one series; not fit for reformatting or volumes",
        ),
        FaultCode::ImagesMissing => (
            "シリーズの途中の画像が届いていません。括弧内は、最後に見つかったシリーズの不足枚数と Series Instance UID です",
            "images inside a series did not come; with it, of the series found last: how many, and its Series Instance UID",
        ),
        FaultCode::ClockAhead => (
            "装置の時計がこの端末より進んでいます。発症や造影からの時間を誤るおそれがあります",
            "its clock is ahead of this machine's; times since onset or contrast may be misjudged",
        ),
        FaultCode::ClockBehind => (
            "どの検査も撮影から遅れて届いています。装置の時計が遅れているか、送信が遅れています",
            "every study comes late by its own clock: the clock is behind, or it sends late",
        ),
        FaultCode::TransferSyntaxUnusual => (
            "読めないソフトのある転送構文、または診断画像の細部を失う圧縮で送っています",
            "a transfer syntax that some programs cannot read, or a lossy one for diagnostic images",
        ),
    }
}

/// What to ask for.
pub(super) fn fix(code: FaultCode) -> (&'static str, &'static str) {
    match code {
        FaultCode::CharacterSetWrong => (
            "装置の業者に: Specific Character Set (0008,0005) を実際に送る文字に合わせてください。日本語は「\\ISO 2022 IR 87」か「ISO_IR 192」です",
            "ask the vendor to set Specific Character Set (0008,0005) to what is sent: \\ISO 2022 IR 87 or ISO_IR 192 for Japanese",
        ),
        FaultCode::CharacterSetUndeclared => (
            "装置の業者に: Specific Character Set (0008,0005) を付けてください。日本語は「\\ISO 2022 IR 87」か「ISO_IR 192」です",
            "ask the vendor to send Specific Character Set (0008,0005): \\ISO 2022 IR 87 or ISO_IR 192 for Japanese",
        ),
        FaultCode::PixelSpacingMissing => (
            "装置の業者に: Pixel Spacing (0028,0030)、単純撮影では Imager Pixel Spacing (0018,1164) を送ってください",
            "ask the vendor to send Pixel Spacing (0028,0030), or Imager Pixel Spacing (0018,1164) of projection images",
        ),
        FaultCode::GantryTilt => (
            "装置の業者に: 傾けずに撮影できるか、または傾きを補正した薄いスライスの再構成も送れるかを確認してください",
            "ask the vendor whether the protocol can do without tilt, or send a thin reconstruction corrected for it as well",
        ),
        FaultCode::SliceSpacingIrregular => (
            "装置の業者に: 間隔の違う範囲を別のシリーズに分けるか、等間隔の再構成も送るよう設定してください",
            "ask the vendor to send ranges of different spacing as series of their own, or an evenly spaced reconstruction as well",
        ),
        FaultCode::ImagesMissing => (
            "装置でそのシリーズ(受信日時とUIDで探せます)を全部再送してください。繰り返すときは装置の業者に: 送信の失敗と自動再送の設定を調べてもらってください",
            "find that series at the modality by the time it came or by its UID and send all of it again; when it happens again, ask the vendor to look at failed transfers and automatic retries",
        ),
        FaultCode::ClockAhead | FaultCode::ClockBehind => (
            "装置の業者に: 時刻を NTP で合わせ、時間帯 (0008,0201) の設定を確認してください。遅れて送る設定なら、撮影後すぐの送信にできるか聞いてください",
            "ask the vendor to set the clock by NTP and to check its time zone (0008,0201), and whether images can be sent right after they are made",
        ),
        FaultCode::TransferSyntaxUnusual => (
            "装置の業者に: Explicit VR Little Endian か可逆圧縮 (JPEG Lossless, JPEG 2000 Lossless) で送るよう設定してください",
            "ask the vendor to send Explicit VR Little Endian or a lossless compression (JPEG Lossless, JPEG 2000 Lossless)",
        ),
    }
}
