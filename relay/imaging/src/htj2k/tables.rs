//! The code tables of the HT cleanup pass (ITU-T T.814): the context-adaptive VLC of Annex C, the
//! U-VLC prefixes of Table 3 and the MEL exponents of Table 2.
//! Both directions derive their look-up tables from the rows here, at compile time; nothing else in
//! the coder may state a code word.

/// One row of the CxtVLC table: which code word says what about a quad in one context.
///
/// Sample order within a quad and within every 4-bit pattern: bit 0 top left, bit 1 bottom left,
/// bit 2 top right, bit 3 bottom right (T.814, 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuadCode {
    /// Significance context of the quad, 0 to 7.
    pub context: u8,
    /// Which of the four samples are not zero.
    pub significance: u8,
    /// Whether the exponent bound exceeds its predictor, so that a U-VLC code follows.
    pub has_offset: bool,
    /// Samples whose exponent is known to reach, or known not to reach, the bound; a subset of
    /// `significance`.
    pub known: u8,
    /// Those of `known` whose exponent is the bound; a subset of `known`.
    pub reaches: u8,
    /// The code word, first bit in bit 0.
    pub word: u8,
    /// Bits in the code word, 1 to 7.
    pub length: u8,
}

impl QuadCode {
    /// Reads a row from its packed form.
    pub const fn unpack(packed: u32) -> Self {
        Self {
            context: (packed >> 28) as u8,
            significance: ((packed >> 24) & 0xF) as u8,
            has_offset: (packed >> 20) & 0xF != 0,
            known: ((packed >> 16) & 0xF) as u8,
            reaches: ((packed >> 12) & 0xF) as u8,
            word: ((packed >> 4) & 0xFF) as u8,
            length: (packed & 0xF) as u8,
        }
    }
}

/// CxtVLC rows for the first row of quads in a code block (T.814 Annex C).
///
/// Packed as hexadecimal digits, most significant first: context, significance, has_offset, known,
/// reaches, code word (two digits), length. In each context the words form a complete prefix code.
pub const FIRST_ROW_CODES: [u32; 444] = [
    0x01000064, 0x011113F7, 0x02000003, 0x021227F7, 0x03000115, 0x031225F7, 0x031311F7, 0x04000023,
    0x04144136, 0x050000E5, 0x05144236, 0x051510F7, 0x06000036, 0x061006F7, 0x070002F7, 0x071224F7,
    0x071200D6, 0x08000043, 0x081883D6, 0x090001D6, 0x091002D6, 0x0A000015, 0x0A188356, 0x0A1A2777,
    0x0B000377, 0x0B111577, 0x0B110096, 0x0C0001E5, 0x0C1CC177, 0x0C1C4156, 0x0C1C8256, 0x0D000677,
    0x0D111277, 0x0D154477, 0x0D1D8077, 0x0E0007B7, 0x0E1224B7, 0x0E1A8056, 0x0E1E43B7, 0x0F0005B7,
    0x0F1991B7, 0x0F1BA6B7, 0x0F1FC2B7, 0x0F1F8396, 0x0F1E6737, 0x0F1E2196, 0x0F1F50B7, 0x0F1F4296,
    0x0F1F1337, 0x10000002, 0x110000E4, 0x111111F7, 0x12000064, 0x121223B6, 0x130001B6, 0x131003D6,
    0x140000A4, 0x141442B6, 0x150000B6, 0x15144336, 0x151517F7, 0x16000136, 0x16100236, 0x170003F7,
    0x171225F7, 0x17120036, 0x18000024, 0x181881D6, 0x190002D6, 0x191000D6, 0x1A000356, 0x1A188156,
    0x1A1A26F7, 0x1B0002F7, 0x1B1114F7, 0x1B110116, 0x1C000015, 0x1C188256, 0x1C1C4056, 0x1D0000F7,
    0x1D111177, 0x1D154396, 0x1D1D8777, 0x1E000377, 0x1E122577, 0x1E1A8196, 0x1E1E4677, 0x1F000077,
    0x1F1B8296, 0x1F188277, 0x1F1A2096, 0x1F1E4316, 0x1F1F1477, 0x20000002, 0x210000E4, 0x211111B6,
    0x22000064, 0x221223F7, 0x230002B6, 0x23111336, 0x231327F7, 0x240000A4, 0x241440B6, 0x25000015,
    0x251552F7, 0x25151136, 0x25154236, 0x26000036, 0x261005F7, 0x270001F7, 0x271226F7, 0x27131116,
    0x27174377, 0x28000024, 0x281884F7, 0x290003D6, 0x291001D6, 0x2A0002D6, 0x2A1000D6, 0x2B0000F7,
    0x2B122777, 0x2B120356, 0x2C000156, 0x2C144256, 0x2C1C8577, 0x2D000177, 0x2D188056, 0x2D1C4396,
    0x2D1D1677, 0x2E000277, 0x2E1227B7, 0x2E120196, 0x2F000477, 0x2F1F1296, 0x2F111096, 0x2F132077,
    0x2F174316, 0x2F1F83B7, 0x30000003, 0x31000044, 0x311113D6, 0x320000C5, 0x321224F7, 0x330001D6,
    0x33111056, 0x331327F7, 0x34000165, 0x341442D6, 0x35000065, 0x351551A5, 0x351510D6, 0x35154356,
    0x360003F7, 0x361445F7, 0x361621F7, 0x370006F7, 0x371662F7, 0x37164156, 0x37173777, 0x37171256,
    0x371720F7, 0x380000A5, 0x38188077, 0x39000396, 0x39111377, 0x39198577, 0x3A000196, 0x3A188296,
    0x3A1A2177, 0x3B000677, 0x3B1B1277, 0x3B111477, 0x3B132096, 0x3B1B87B7, 0x3C000316, 0x3C144116,
    0x3C1C83B7, 0x3D0005B7, 0x3D1991B7, 0x3D1D52B7, 0x3D1D1216, 0x3D1DC6B7, 0x3D1D4016, 0x3D1D84B7,
    0x3E0000B7, 0x3E1E4737, 0x3E144137, 0x3E1C83E6, 0x3E1E2337, 0x3F000537, 0x3F1AA0E6, 0x3F1B9637,
    0x3F1FC037, 0x3F1F8125, 0x3F1E6237, 0x3F1F51E6, 0x3F1F4025, 0x3F1F3437, 0x3F1F11C5, 0x3F1F22E6,
    0x40000002, 0x410000E4, 0x411113F7, 0x42000064, 0x421221B6, 0x430002B6, 0x431223D6, 0x431317F7,
    0x440000A4, 0x441445F7, 0x450000B6, 0x45100336, 0x46000136, 0x46100236, 0x470001F7, 0x471446F7,
    0x47140036, 0x48000024, 0x481881D6, 0x49000116, 0x49100777, 0x4A000015, 0x4A1AA2F7, 0x4A1A22D6,
    0x4A1A80D6, 0x4B0004F7, 0x4B1B20F7, 0x4B100356, 0x4C000156, 0x4C188256, 0x4C1C4377, 0x4D000577,
    0x4D111077, 0x4D110056, 0x4E000177, 0x4E144396, 0x4E1C8196, 0x4E1E2677, 0x4F000277, 0x4F199477,
    0x4F191296, 0x4F1767B7, 0x4F172096, 0x4F1B8316, 0x4F1F43B7, 0x50000003, 0x510001A5, 0x511117F7,
    0x520000A5, 0x521221D6, 0x530002D6, 0x531335F7, 0x53132396, 0x531313F7, 0x54000125, 0x541441F7,
    0x550000D6, 0x55144356, 0x551516F7, 0x56000156, 0x56122256, 0x561642F7, 0x570004F7, 0x57166577,
    0x57164056, 0x571730F7, 0x57172777, 0x57171377, 0x58000025, 0x58188196, 0x59000266, 0x59188177,
    0x59191677, 0x5A0001C5, 0x5A1AA296, 0x5A1A2096, 0x5A1A8316, 0x5B000277, 0x5B199077, 0x5B198116,
    0x5B1B3477, 0x5B1B2216, 0x5B1B17B7, 0x5C000016, 0x5C1883E6, 0x5C1C43B7, 0x5D0005B7, 0x5D1996B7,
    0x5D1981E6, 0x5D1D51B7, 0x5D1D42E6, 0x5D1D12B7, 0x5E0004B7, 0x5E1660B7, 0x5E1EA337, 0x5E1E20E6,
    0x5E1EC737, 0x5E1E8366, 0x5E1E4537, 0x5F000137, 0x5F177437, 0x5F176166, 0x5F175637, 0x5F1FC237,
    0x5F1F40C5, 0x5F1D9037, 0x5F1FA3D7, 0x5F1F8145, 0x5F1F37D7, 0x5F1F2045, 0x5F1F1066, 0x60000003,
    0x61000044, 0x61111036, 0x620000C5, 0x621220D6, 0x630001A5, 0x631333D6, 0x631311D6, 0x631322D6,
    0x640000A5, 0x641443F7, 0x65000356, 0x65111156, 0x651547F7, 0x66000256, 0x661225F7, 0x661641F7,
    0x670006F7, 0x671664F7, 0x67164056, 0x671732F7, 0x67171366, 0x67172777, 0x68000125, 0x681880F7,
    0x69000396, 0x69111377, 0x69198577, 0x6A000196, 0x6A122296, 0x6A1A8177, 0x6B000677, 0x6B199477,
    0x6B191096, 0x6B1BA277, 0x6B1B2316, 0x6B1B87B7, 0x6C000116, 0x6C1CC077, 0x6C1C8216, 0x6C1C43B7,
    0x6D0005B7, 0x6D155337, 0x6D154016, 0x6D1C81B7, 0x6D1D16B7, 0x6E0002B7, 0x6E1E24B7, 0x6E1220B7,
    0x6E1EC737, 0x6E1E83E6, 0x6E1E4537, 0x6F000137, 0x6F1661E6, 0x6F1EA2E6, 0x6F1F30E6, 0x6F1F2025,
    0x6F1B9637, 0x6F1FC166, 0x6F1F8066, 0x6F1F5237, 0x6F1F11C5, 0x6F1F4266, 0x70000125, 0x71000056,
    0x711117F7, 0x72000396, 0x721223F7, 0x730005F7, 0x731331F7, 0x731326F7, 0x731312F7, 0x740004F7,
    0x741440F7, 0x75000577, 0x75111196, 0x75154777, 0x76000377, 0x76100296, 0x77000177, 0x77166677,
    0x77173277, 0x77172477, 0x771751B7, 0x77171096, 0x77174077, 0x780007B7, 0x781883B7, 0x790005B7,
    0x79100316, 0x7A000537, 0x7A122116, 0x7A1A86B7, 0x7B0002B7, 0x7B1994B7, 0x7B1B30B7, 0x7B1B1737,
    0x7B1BA337, 0x7B1B2216, 0x7B1B8137, 0x7C000637, 0x7C188237, 0x7C1C4437, 0x7D000037, 0x7D1997D7,
    0x7D1D55D7, 0x7D1D1016, 0x7D1DC3D7, 0x7D1D43E6, 0x7D1D81D7, 0x7E0006D7, 0x7E1662D7, 0x7E1EA0D7,
    0x7E1E21E6, 0x7E1EC4D7, 0x7E1E80E6, 0x7E1E4757, 0x7F000157, 0x7F1FF065, 0x7F1FD357, 0x7F1F7557,
    0x7F1F51A5, 0x7F1FB257, 0x7F1F30A5, 0x7F1F92E6, 0x7F1F1004, 0x7F1FE657, 0x7F1F6366, 0x7F1FA025,
    0x7F1F20C4, 0x7F1FC166, 0x7F1F8044, 0x7F1F4084,
];

/// CxtVLC rows for every later row of quads (T.814 Annex C), packed like [`FIRST_ROW_CODES`].
pub const LATER_ROW_CODES: [u32; 358] = [
    0x01000003, 0x01111276, 0x02000063, 0x02122176, 0x030000D5, 0x031003B6, 0x04000023, 0x04144076,
    0x05000155, 0x051002B6, 0x06000015, 0x061007F7, 0x070001F7, 0x071001B6, 0x08000043, 0x08188055,
    0x09000195, 0x09100136, 0x0A000095, 0x0A1880B6, 0x0A1A23F7, 0x0B0005F7, 0x0B100336, 0x0C000115,
    0x0C188236, 0x0C1C46F7, 0x0D0000F7, 0x0D100036, 0x0E0002F7, 0x0E1444F7, 0x0E1403D6, 0x0F000777,
    0x0F111377, 0x0F1101D6, 0x10000001, 0x11000054, 0x111117F7, 0x12000094, 0x121221F7, 0x130001D5,
    0x131113F7, 0x131325F7, 0x140000D5, 0x14144377, 0x15000036, 0x151006F7, 0x160002F7, 0x161004F7,
    0x170000F7, 0x17100777, 0x18000014, 0x18188177, 0x190000B6, 0x19100577, 0x1A000336, 0x1A100677,
    0x1B000277, 0x1B1002B7, 0x1C000136, 0x1C100477, 0x1D000077, 0x1D1007B7, 0x1E0003B7, 0x1E1005B7,
    0x1F0001B7, 0x1F1446B7, 0x1F140236, 0x20000001, 0x21000094, 0x211117F7, 0x22000014, 0x22122236,
    0x230003D6, 0x231223F7, 0x231311F7, 0x24000155, 0x241445F7, 0x25000036, 0x251006F7, 0x260002F7,
    0x261004F7, 0x270000F7, 0x27100177, 0x28000055, 0x28188777, 0x29000377, 0x29100577, 0x2A0001D6,
    0x2A1AA7B7, 0x2A1A22D6, 0x2A1A8677, 0x2B000277, 0x2B1B2477, 0x2B100077, 0x2C0000D6, 0x2C1003B7,
    0x2D0005B7, 0x2D1001B7, 0x2E0006B7, 0x2E1442B7, 0x2E1404B7, 0x2F0000B7, 0x2F144737, 0x2F151337,
    0x2F172537, 0x2F1F8137, 0x30000002, 0x310000A4, 0x311110B6, 0x32000024, 0x32122236, 0x330000E5,
    0x331337F7, 0x33132336, 0x33131136, 0x34000165, 0x341443F7, 0x35000036, 0x351113D6, 0x351541F7,
    0x360001D6, 0x361005F7, 0x370002D6, 0x371442F7, 0x371511E6, 0x371726F7, 0x38000065, 0x381884F7,
    0x390000D6, 0x39100356, 0x3A000156, 0x3A122256, 0x3A1A80F7, 0x3B000056, 0x3B188396, 0x3B1B3177,
    0x3B1B2196, 0x3B1B1777, 0x3C000296, 0x3C100096, 0x3D000377, 0x3D144577, 0x3D140316, 0x3E000677,
    0x3E144277, 0x3E1C8477, 0x3E1E26B7, 0x3F000116, 0x3F166077, 0x3F1737B7, 0x3F1FA3B7, 0x3F1F2216,
    0x3F1F8016, 0x3F1A85B7, 0x3F1F51B7, 0x3F1F13E6, 0x3F1F42B7, 0x40000001, 0x410000D5, 0x411117F7,
    0x42000155, 0x421223F7, 0x430005F7, 0x431006F7, 0x44000094, 0x44144236, 0x45000336, 0x451001F7,
    0x46000136, 0x461002F7, 0x470004F7, 0x47100577, 0x48000014, 0x481880F7, 0x49000777, 0x49100377,
    0x4A0001D6, 0x4A100177, 0x4B000677, 0x4B1006B7, 0x4C000055, 0x4C1CC277, 0x4C1C8477, 0x4C1C4077,
    0x4D0007B7, 0x4D1003B7, 0x4E0005B7, 0x4E1221B7, 0x4E120036, 0x4F0002B7, 0x4F1114B7, 0x4F1320B7,
    0x4F1303D6, 0x50000002, 0x510001E5, 0x511113B6, 0x520000A5, 0x521223F7, 0x530001B6, 0x531000B6,
    0x54000024, 0x541442B6, 0x550000E5, 0x55144336, 0x551517F7, 0x56000136, 0x561006F7, 0x57000236,
    0x571225F7, 0x57120156, 0x58000165, 0x58188036, 0x590003D6, 0x591001F7, 0x5A0001D6, 0x5A1002D6,
    0x5B0000D6, 0x5B1114F7, 0x5B110356, 0x5C000065, 0x5C144256, 0x5C1C82F7, 0x5D000056, 0x5D111777,
    0x5D154396, 0x5D1D80F7, 0x5E000196, 0x5E122577, 0x5E1A8016, 0x5E1E4377, 0x5F0001A5, 0x5F199177,
    0x5F1D5677, 0x5F1F3077, 0x5F1F1296, 0x5F176277, 0x5F1FC096, 0x5F1F4316, 0x5F1FA477, 0x5F1F8116,
    0x5F1F2216, 0x60000003, 0x61000024, 0x61111036, 0x620000C4, 0x621223D6, 0x630001D6, 0x631220D6,
    0x631317F7, 0x64000044, 0x641442D6, 0x650000A5, 0x65144356, 0x651512F7, 0x66000156, 0x661223F7,
    0x661645F7, 0x67000256, 0x67122296, 0x671311F7, 0x671746F7, 0x68000165, 0x68188056, 0x69000396,
    0x69100196, 0x6A000065, 0x6A1AA0F7, 0x6A1A2096, 0x6A1A84F7, 0x6B0000E6, 0x6B1B2777, 0x6B122377,
    0x6B1A8577, 0x6B1B1477, 0x6C0001A5, 0x6C1CC177, 0x6C1C8677, 0x6C1C4277, 0x6D000316, 0x6D1D4077,
    0x6D1447B7, 0x6D1C83B7, 0x6D1D12B7, 0x6E000116, 0x6E1E45B7, 0x6E1441B7, 0x6E1EA6B7, 0x6E1E8216,
    0x6E1E2337, 0x6F000016, 0x6F1334B7, 0x6F1760B7, 0x6F1FA737, 0x6F1F23E6, 0x6F1B9537, 0x6F1FC637,
    0x6F1F81E6, 0x6F1F5137, 0x6F1F42E6, 0x6F1F1237, 0x70000044, 0x71000336, 0x71111136, 0x72000236,
    0x721227F7, 0x73000036, 0x731113F7, 0x731326F7, 0x740002D6, 0x741445F7, 0x75000165, 0x751113D6,
    0x751541F7, 0x760001D6, 0x76100777, 0x77000065, 0x771742F7, 0x771444F7, 0x771730F7, 0x771710D6,
    0x77172577, 0x78000356, 0x78188377, 0x79000156, 0x79100277, 0x7A000256, 0x7A100296, 0x7B0001A5,
    0x7B1B1177, 0x7B111677, 0x7B132056, 0x7B1B87B7, 0x7C000396, 0x7C100196, 0x7D0000C5, 0x7D1D1477,
    0x7D111077, 0x7D154096, 0x7D1D81B7, 0x7E000316, 0x7E1E23B7, 0x7E1225B7, 0x7E1A83E6, 0x7E1E40B7,
    0x7F000003, 0x7F1FF6B7, 0x7F1F72B7, 0x7F1FB4B7, 0x7F1F3116, 0x7F176216, 0x7F1FA016, 0x7F1F20A5,
    0x7F1B91E6, 0x7F1FC0E6, 0x7F1F8125, 0x7F1F52E6, 0x7F1F1025, 0x7F1F41C5,
];

/// One U-VLC prefix (T.814 Table 3).
///
/// The value coded is `base` plus a suffix of `suffix_bits` bits; when that suffix is at least
/// [`OFFSET_EXTENSION_FROM`], four times an extension of [`OFFSET_EXTENSION_BITS`] bits is added.
/// Both fields are sent least significant bit first. For a pair of quads the order in the stream is
/// both prefixes, both suffixes, both extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetPrefix {
    /// The prefix, first bit in bit 0.
    pub word: u8,
    /// Bits in the prefix.
    pub length: u8,
    /// Smallest value this prefix codes.
    pub base: u8,
    /// Bits in the suffix.
    pub suffix_bits: u8,
}

/// All U-VLC prefixes, by rising value (T.814 Table 3).
pub const OFFSET_PREFIXES: [OffsetPrefix; 4] = [
    OffsetPrefix {
        word: 0b1,
        length: 1,
        base: 1,
        suffix_bits: 0,
    },
    OffsetPrefix {
        word: 0b10,
        length: 2,
        base: 2,
        suffix_bits: 0,
    },
    OffsetPrefix {
        word: 0b100,
        length: 3,
        base: 3,
        suffix_bits: 1,
    },
    OffsetPrefix {
        word: 0b000,
        length: 3,
        base: 5,
        suffix_bits: 5,
    },
];

/// Smallest suffix that is followed by an extension.
pub const OFFSET_EXTENSION_FROM: u32 = 28;

/// Bits in a U-VLC extension.
pub const OFFSET_EXTENSION_BITS: u32 = 4;

/// Exponents of the MEL run lengths by state: state k promises runs of 2^exponent (T.814 Table 2).
pub const MEL_EXPONENTS: [u8; 13] = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5];

#[cfg(test)]
mod tests {
    use super::*;

    /// Every 7-bit window decodes to exactly one row in every context, so a decoder built from the
    /// rows has no undefined entry.
    #[test]
    fn every_window_has_exactly_one_row() {
        for rows in [&FIRST_ROW_CODES[..], &LATER_ROW_CODES[..]] {
            for context in 0..8 {
                for window in 0..128_u8 {
                    let matching = rows
                        .iter()
                        .map(|&packed| QuadCode::unpack(packed))
                        .filter(|code| code.context == context)
                        .filter(|code| window & ((1 << code.length) - 1) == code.word)
                        .count();
                    assert_eq!(matching, 1, "context {context}, window {window:07b}");
                }
            }
        }
    }

    #[test]
    fn exponent_patterns_stay_within_the_significance() {
        for &packed in FIRST_ROW_CODES.iter().chain(&LATER_ROW_CODES) {
            let code = QuadCode::unpack(packed);
            assert_eq!(code.known & !code.significance, 0, "{code:?}");
            assert_eq!(code.reaches & !code.known, 0, "{code:?}");
            assert!(code.has_offset || code.known == 0, "{code:?}");
        }
    }

    /// An encoder finds a word for every significance pattern in every context, with and without an
    /// offset, and for every pattern of samples that reach the bound.
    #[test]
    fn every_quad_can_be_coded() {
        for rows in [&FIRST_ROW_CODES[..], &LATER_ROW_CODES[..]] {
            for context in 0..8 {
                for significance in u8::from(context == 0)..16 {
                    let codes: Vec<_> = rows
                        .iter()
                        .map(|&packed| QuadCode::unpack(packed))
                        .filter(|code| (code.context, code.significance) == (context, significance))
                        .collect();
                    assert!(codes.iter().any(|code| !code.has_offset));
                    for reaching in (1..16_u8).filter(|reaching| reaching & !significance == 0) {
                        assert!(
                            codes
                                .iter()
                                .any(|code| code.has_offset && reaching & code.known == code.reaches),
                            "context {context}, significance {significance:04b}, reaching {reaching:04b}"
                        );
                    }
                }
            }
        }
    }
}
